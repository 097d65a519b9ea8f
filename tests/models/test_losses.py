import math

import pytest
import torch
from torch import Tensor

from mineralseg.core.legend import IGNORE
from mineralseg.models.losses import Loss, cross_entropy, cross_entropy_dice, dice

LOSSES: list[Loss] = [cross_entropy, dice, cross_entropy_dice(0.5)]
LOSS_IDS = ["cross_entropy", "dice", "cross_entropy_dice"]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=LOSS_IDS)


def _case(seed: int = 0, *, void_share: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 5, 6), generator=generator)  # class 3 is absent
    void = torch.rand(2, 5, 6, generator=generator) < void_share
    return logits.requires_grad_(), labels.masked_fill(void, IGNORE)


@each_loss
def test_void_pixels_have_no_gradient_and_no_say(loss: Loss) -> None:
    logits, labels = _case()
    value = loss(logits, labels)
    torch.autograd.backward(value)
    void = (labels == IGNORE)[:, None].expand_as(logits)
    assert logits.grad is not None
    assert (logits.grad[void] == 0).all()
    assert (logits.grad[~void] != 0).any()
    elsewhere = torch.where(void, 50 * torch.randn_like(logits), logits)
    torch.testing.assert_close(loss(elsewhere, labels), value)


@each_loss
def test_a_perfect_prediction_costs_nothing(loss: Loss) -> None:
    _, labels = _case()
    logits = 50.0 * torch.nn.functional.one_hot(labels.where(labels != IGNORE, 0), 4).movedim(-1, 1)
    assert loss(logits, labels).item() == pytest.approx(0, abs=1e-9)


@each_loss
def test_a_batch_without_labels_costs_nothing_and_teaches_nothing(loss: Loss) -> None:
    logits, labels = _case(void_share=2.0)
    value = loss(logits, labels)
    torch.autograd.backward(value)
    assert value.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@each_loss
def test_less_wrong_costs_less(loss: Loss) -> None:
    _, labels = _case()
    truth = torch.nn.functional.one_hot(labels.where(labels != IGNORE, 0), 4).movedim(-1, 1)
    costs = [loss(strength * truth.double(), labels).item() for strength in (-2, 0, 1, 3)]
    assert costs == sorted(costs, reverse=True)


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits, labels = _case()
    costs = []
    for b, row, col in torch.nonzero(labels != IGNORE).tolist():
        scores = logits[b, :, row, col].tolist()
        truth = int(labels[b, row, col])
        costs.append(math.log(sum(math.exp(score) for score in scores)) - scores[truth])
    assert cross_entropy(logits, labels).item() == pytest.approx(math.fsum(costs) / len(costs))


def _dice_by_hand(logits: Tensor, labels: Tensor) -> float:
    losses = []
    for k in range(logits.shape[1]):
        shared = predicted = true = 0.0
        for b, row, col in torch.nonzero(labels != IGNORE).tolist():
            powers = [math.exp(score) for score in logits[b, :, row, col].tolist()]
            probability, is_true = powers[k] / sum(powers), float(labels[b, row, col] == k)
            shared += probability * is_true
            predicted += probability
            true += is_true
        if true:
            losses.append(1 - 2 * shared / (predicted + true))
    return math.fsum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(3))
def test_dice_is_that_of_the_formula_over_present_classes(seed: int) -> None:
    logits, labels = _case(seed)
    assert dice(logits, labels).item() == pytest.approx(_dice_by_hand(logits, labels))


def test_the_sum_weighs_dice() -> None:
    logits, labels = _case()
    expected = cross_entropy(logits, labels) + 3 * dice(logits, labels)
    torch.testing.assert_close(cross_entropy_dice(3.0)(logits, labels), expected)


@each_loss
def test_the_gradient_is_that_of_the_loss(loss: Loss) -> None:
    logits, labels = _case()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels[:1, :2, :2]), (logits[:1, :, :2, :2],))

import copy
import itertools
import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.engine.fit import EpochReport, FitState, Optimisation, fit, learning_rate_at
from mineralseg.errors import Refused
from mineralseg.models.losses import cross_entropy
from tests.engine.problem import batches_of, network, plan, validate
from tests.laws import LAW


def _fit(
    optimisation: Optimisation,
    *,
    trained: nn.Module | None = None,
    resume: FitState | None = None,
    **parts: Any,
) -> list[EpochReport]:
    settings = {
        "batches": batches_of(optimisation.batches_per_epoch),
        "validate": validate,
        "loss": cross_entropy,
    } | parts
    trained = network() if trained is None else trained
    return list(fit(trained, optimisation=optimisation, resume=resume, **settings))


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    return bool(first == second)


def _same_state(first: FitState, second: FitState) -> bool:
    return _same(vars(first), vars(second))


def test_a_plain_problem_is_learned() -> None:
    reports = _fit(plan(epochs=8, batches_per_epoch=8))
    assert [report.epoch for report in reports] == list(range(1, 9))
    assert reports[-1].loss < 0.3 * reports[0].loss
    assert reports[-1].confusion.mean_iou() > 0.9


def test_the_kept_weights_score_what_the_report_says() -> None:
    state = _fit(plan())[-1].state
    other = network(seed=5)
    other.load_state_dict(state.kept)
    assert validate(other.eval()).mean_iou() == state.kept_score
    best = max(ConfusionMatrix(np.array(row["confusion"])).mean_iou() for row in state.history)
    assert state.kept_score == best


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, second, other = (_fit(plan(seed=seed))[-1].state for seed in (11, 11, 12))
    assert _same_state(first, second)
    assert not _same(first.network, other.network)  # dropout


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_going_on_gives_the_same_bytes_as_never_having_stopped(stop: int) -> None:
    whole = _fit(plan())[-1].state
    begun = fit(network(), batches=batches_of(6), validate=validate, loss=cross_entropy, optimisation=plan())
    state = next(itertools.islice(begun, stop - 1, stop)).state
    assert state.epoch == stop
    torch.manual_seed(12345)
    assert _same_state(_fit(plan(), trained=network(seed=9), resume=state)[-1].state, whole)


def test_a_state_does_not_change_after_it_was_given_out() -> None:
    given_out: list[tuple[FitState, FitState]] = []
    for report in fit(
        network(),
        batches=batches_of(3),
        validate=validate,
        loss=cross_entropy,
        optimisation=plan(batches_per_epoch=3),
    ):
        given_out.append((report.state, copy.deepcopy(report.state)))
    resumed, before = given_out[0]
    _fit(plan(batches_per_epoch=3), resume=resumed)
    assert _same_state(resumed, before)
    assert all(_same_state(state, then) for state, then in given_out)


def test_the_mode_of_the_network_before_does_not_matter() -> None:
    assert _same_state(_fit(plan(), trained=network().eval())[-1].state, _fit(plan())[-1].state)


def test_no_step_is_longer_than_the_clipped_gradient_allows() -> None:
    trained = network()
    _fit(plan(epochs=1, batches_per_epoch=1, clip_norm=0.01), trained=trained)
    norms = torch.stack(
        [parameter.grad.norm() for parameter in trained.parameters() if parameter.grad is not None]
    )
    assert norms.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_nothing_is_left_to_do_after_the_last_epoch() -> None:
    done = _fit(plan(epochs=2))[-1].state
    assert _fit(plan(epochs=2), resume=done) == []


def _scripted(scores: list[float]) -> Any:
    """Return a validation that gives these mean IoUs in turn."""
    left = iter(scores)

    def scored(trained: nn.Module) -> ConfusionMatrix:
        assert not trained.training
        share = next(left)
        if math.isnan(share):
            return ConfusionMatrix.zero(2)
        hits = round(1000 * share)
        return ConfusionMatrix(np.array([[hits, 1000 - hits], [0, 0]]))

    return scored


@pytest.mark.parametrize(
    ("keep", "scores", "kept_epoch"),
    [
        ("best", [0.2, 0.9, 0.5], 2),
        ("best", [0.9, 0.2, 0.5], 1),
        ("best", [0.5, 0.7, 0.7], 2),
        ("best", [math.nan, 0.1, 0.05], 2),
        ("last", [0.2, 0.9, 0.5], 3),
    ],
)
def test_the_best_or_the_last_average_is_kept(
    keep: Literal["best", "last"], scores: list[float], kept_epoch: int
) -> None:
    reports = _fit(plan(epochs=3, batches_per_epoch=2, keep=keep), validate=_scripted(scores))
    state = reports[-1].state
    assert state.kept_epoch == kept_epoch
    assert state.kept_score == reports[kept_epoch - 1].confusion.mean_iou()
    assert _same(state.kept, reports[kept_epoch - 1].state.average)


def test_the_average_follows_the_network_as_its_decay_says() -> None:
    decay, reports = 0.3, _fit(plan(epochs=6, batches_per_epoch=1, ema_decay=0.3))
    name = "1.weight"
    average = network().state_dict()[name].double()
    for step, report in enumerate(reports):
        part = min(decay, (1 + step) / (10 + step))
        average = part * average + (1 - part) * report.state.network[name].double()
        torch.testing.assert_close(report.state.average[name].double(), average, rtol=1e-5, atol=1e-6)


def test_without_averaging_the_network_itself_is_validated_and_kept() -> None:
    state = _fit(plan(ema_decay=0.0))[-1].state
    assert _same(state.average, state.network)


def test_the_history_tells_every_epoch() -> None:
    reports = _fit(plan())
    history = reports[-1].state.history
    assert [row["loss"] for row in history] == [report.loss for report in reports]
    assert history[0]["confusion"] == reports[0].confusion.counts.tolist()
    assert history[-1]["learning_rate"] == reports[-1].learning_rate == learning_rate_at(23, plan())
    assert len(reports[0].state.history) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_training_and_says_where(bad: float) -> None:
    steps = itertools.count()

    def failing(logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels) * (bad if next(steps) == 8 else 1.0)

    begun = fit(network(), batches=batches_of(6), validate=validate, loss=failing, optimisation=plan())
    sound = copy.deepcopy(next(begun).state)
    with pytest.raises(Refused, match=rf"epoch 2, step 3: loss {bad}.*lower train.learning_rate"):
        next(begun)
    assert _same_state(_fit(plan(), resume=sound)[-1].state, _fit(plan())[-1].state)


# The learning rate


PLANS = st.builds(
    plan,
    epochs=st.integers(1, 20),
    batches_per_epoch=st.integers(1, 20),
    learning_rate=st.floats(1e-5, 1),
    warmup_share=st.floats(0, 0.99),
)


@LAW
@given(PLANS)
def test_the_rate_rises_to_its_peak_and_falls_and_never_leaves_its_bounds(optimisation: Optimisation) -> None:
    rates = [learning_rate_at(step, optimisation) for step in range(optimisation.steps)]
    assert all(0 < rate <= optimisation.learning_rate * (1 + 1e-12) for rate in rates)
    top = int(np.argmax(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert abs(top - optimisation.warmup_share * optimisation.steps) <= 1


def test_the_rate_is_a_line_and_then_half_a_cosine() -> None:
    optimisation = plan(epochs=10, batches_per_epoch=10, learning_rate=1.0, warmup_share=0.2)
    rates = [learning_rate_at(step, optimisation) for step in range(101)]
    np.testing.assert_allclose(np.diff(rates[:21]), 1 / 21)
    assert rates[20] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    for distance in range(40):  # the fall is as steep before its middle as after it
        assert rates[60 - distance] + rates[60 + distance] == pytest.approx(1.0)


def test_the_optimiser_runs_as_planned() -> None:
    optimisation = plan(epochs=1, weight_decay=0.25)
    (group,) = _fit(optimisation)[-1].state.optimiser["param_groups"]
    assert group["lr"] == learning_rate_at(5, optimisation)
    assert group["weight_decay"] == 0.25

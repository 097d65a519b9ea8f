"""Training as a stream of epochs: the caller logs, saves and stops."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.errors import Refused
from mineralseg.models.losses import Loss


@dataclass(frozen=True)
class Optimisation:
    """How the weights are moved; see `config.training.TrainSection` for each."""

    epochs: int
    batches_per_epoch: int
    learning_rate: float
    weight_decay: float
    warmup_share: float
    ema_decay: float
    clip_norm: float
    keep: Literal["best", "last"]
    seed: int

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * self.batches_per_epoch


@dataclass(frozen=True)
class FitState:
    """Training between two epochs: with it, going on gives the same weights as never having stopped."""

    epoch: int
    """Epochs done."""
    network: dict[str, Any]
    average: dict[str, Any]
    optimiser: dict[str, Any]
    kept: dict[str, Any] = field(repr=False)
    """The weights to keep so far."""
    kept_score: float
    kept_epoch: int
    history: list[dict[str, Any]]
    """One row an epoch: loss, learning rate, validation counts."""


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did."""

    epoch: int
    loss: float
    learning_rate: float
    confusion: ConfusionMatrix
    state: FitState


def fit(
    network: nn.Module,
    *,
    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]],
    validate: Callable[[nn.Module], ConfusionMatrix],
    loss: Loss,
    optimisation: Optimisation,
    resume: FitState | None = None,
) -> Iterator[EpochReport]:
    """Train `network` in place with AdamW (doi 10.48550/arXiv.1711.05101), yielding after every epoch.

    The learning rate warms up linearly and falls as a cosine; a moving average of the weights is what is
    validated and kept. All randomness of epoch e comes from the seed and e, so `resume` is exact.

    Args:
        network: on its device.
        batches: epochs (from 0) to batches of images and labels.
        validate: scores a network in evaluation mode.
        loss: what is minimised.
        optimisation: the plan.
        resume: a state that an earlier run yielded under the same plan.

    Raises:
        Refused: the loss is no longer a finite number.
    """
    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=optimisation.learning_rate, weight_decay=optimisation.weight_decay
    )
    average = copy.deepcopy(network)
    state = resume
    if state is not None:
        network.load_state_dict(state.network)
        average.load_state_dict(state.average)
        # a copy: torch would go on in the very tensors of the state
        optimiser.load_state_dict(copy.deepcopy(state.optimiser))
    for epoch in range(0 if state is None else state.epoch, optimisation.epochs):
        torch.manual_seed(optimisation.seed * 1_000_003 + epoch)
        network.train()
        losses = []
        for number, (images, labels) in enumerate(batches(epoch)):
            step = epoch * optimisation.batches_per_epoch + number
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(step, optimisation)
            value = _step(
                network, optimiser, loss, images.to(device), labels.to(device), optimisation.clip_norm
            )
            if not math.isfinite(value):
                raise Refused(
                    f"training, epoch {epoch + 1}, step {number + 1}",
                    found=f"loss {value}",
                    expected="a finite number",
                    fix="lower train.learning_rate; the last checkpoint is kept",
                )
            _follow(average, network, decay=min(optimisation.ema_decay, (1 + step) / (10 + step)))
            losses.append(value)
        confusion = validate(average.eval())
        mean_loss = sum(losses) / len(losses)
        rate = learning_rate_at((epoch + 1) * optimisation.batches_per_epoch - 1, optimisation)
        row = {"loss": mean_loss, "learning_rate": rate, "confusion": confusion.counts.tolist()}
        state = _advance(state, row, confusion, (network, average, optimiser), optimisation.keep)
        yield EpochReport(epoch + 1, mean_loss, rate, confusion, state)


def learning_rate_at(step: int, plan: Optimisation) -> float:
    """Return the learning rate of a step (from 0): linear to the peak, then half a cosine to zero."""
    warmup = plan.warmup_share * plan.steps
    if step < warmup:
        return plan.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(plan.steps - warmup, 1)
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    images: Tensor,
    labels: Tensor,
    clip_norm: float,
) -> float:
    """Take one optimiser step and return the loss before it."""
    optimiser.zero_grad(set_to_none=True)
    value = loss(network(images), labels)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    optimiser.step()
    return float(value.detach())


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, *, decay: float) -> None:
    """Move the average towards the network; whole numbers (batch counts) are copied."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _advance(
    before: FitState | None,
    row: dict[str, Any],
    confusion: ConfusionMatrix,
    parts: tuple[nn.Module, nn.Module, torch.optim.Optimizer],
    keep: Literal["best", "last"],
) -> FitState:
    """Return the state after one more epoch, keeping the better weights."""
    network, average, optimiser = parts
    epoch = 1 if before is None else before.epoch + 1
    score = confusion.mean_iou()
    better = before is None or keep == "last" or not score <= before.kept_score
    weights = _snapshot(average) if better or before is None else before.kept
    return FitState(
        epoch=epoch,
        network=_snapshot(network),
        average=_snapshot(average),
        optimiser=copy.deepcopy(optimiser.state_dict()),
        kept=weights,
        kept_score=score if better or before is None else before.kept_score,
        kept_epoch=epoch if better or before is None else before.kept_epoch,
        history=[*([] if before is None else before.history), row],
    )


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}

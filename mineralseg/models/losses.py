"""What training minimises; void pixels take no part in any of it."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from mineralseg.core.legend import IGNORE

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (B, K, H, W) and labels int64 (B, H, W) to a scalar."""


def cross_entropy(logits_BKHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled pixels, 0 when there are none."""
    total = functional.cross_entropy(logits_BKHW, labels_BHW, ignore_index=IGNORE, reduction="sum")
    return total / (labels_BHW != IGNORE).sum().clamp(min=1)


def dice(logits_BKHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """Return one minus the soft Dice coefficient, averaged over the classes that occur in the batch.

    Counts are pooled over the batch (Milletari 2016, doi 10.1109/3DV.2016.79); a class that is absent
    from the labels has no Dice and is left out rather than scored 1.
    """
    classes = logits_BKHW.shape[1]
    valid = (labels_BHW != IGNORE)[:, None]
    probabilities = logits_BKHW.softmax(dim=1) * valid
    truth = functional.one_hot(labels_BHW.where(valid[:, 0], 0), classes).movedim(-1, 1) * valid
    over = (0, 2, 3)
    shared = (probabilities * truth).sum(over)
    size = probabilities.sum(over) + truth.sum(over)
    present = truth.sum(over) > 0
    coefficient = 2 * shared / size.clamp(min=1e-6)
    return (1 - coefficient)[present].sum() / present.sum().clamp(min=1)


def cross_entropy_dice(dice_weight: float) -> Loss:
    """Return the loss cross-entropy + `dice_weight` x Dice."""

    def loss(logits_BKHW: Tensor, labels_BHW: Tensor) -> Tensor:
        return cross_entropy(logits_BKHW, labels_BHW) + dice_weight * dice(logits_BKHW, labels_BHW)

    return loss

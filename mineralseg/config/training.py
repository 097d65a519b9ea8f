"""Sections about the network and its training."""

from typing import Annotated, Literal

from pydantic import Field

from mineralseg.config.section import Section


class ModelSection(Section):
    """The network: an encoder-decoder of segmentation-models-pytorch."""

    arch: Literal["unet", "unetplusplus", "deeplabv3plus"]
    """unet (Ronneberger 2015), unetplusplus (Zhou 2018) or deeplabv3plus (Chen 2018)."""
    encoder: str = Field(pattern=r"^[a-z][a-z0-9_-]{1,63}$")
    """Any encoder name of segmentation-models-pytorch, such as resnet18 or mobilenet_v2."""
    encoder_weights: str | None
    """`imagenet` to start from pretrained weights (fetched once), null to start from scratch."""


class CrossEntropyLoss(Section):
    """Mean cross-entropy over labelled pixels."""

    kind: Literal["cross_entropy"]


class DiceLoss(Section):
    """One minus the soft Dice coefficient, averaged over the classes in the batch."""

    kind: Literal["dice"]


class CrossEntropyDiceLoss(Section):
    """Cross-entropy plus weighted Dice."""

    kind: Literal["cross_entropy_dice"]
    dice_weight: float = Field(gt=0, le=10)
    """Weight of the Dice term beside a cross-entropy of weight 1."""


LossSection = Annotated[CrossEntropyLoss | DiceLoss | CrossEntropyDiceLoss, Field(discriminator="kind")]


class AugmentSection(Section):
    """Random changes of training patches: geometry the same for all views and the mask, light per view."""

    flip: bool
    """Mirror left-right and up-down, each with probability 1/2, and turn by multiples of 90 degrees."""
    rotate_deg: float = Field(ge=0, le=180)
    """Largest turn either way, degrees; corners that open are void."""
    scale: float = Field(ge=0, lt=1)
    """Largest relative change of size either way."""
    gain: float = Field(ge=0, lt=1)
    """Largest relative change of brightness, drawn per channel and per view."""
    gamma: float = Field(ge=0, lt=1)
    """Largest relative change of the gamma exponent, drawn per view."""
    noise: float = Field(ge=0, le=50)
    """Largest standard deviation of added noise, grey levels."""
    drop_view: float = Field(ge=0, lt=1)
    """Probability that one of several stacked views is replaced by its mean."""


class TrainSection(Section):
    """How the weights are found."""

    epochs: int = Field(ge=1, le=100_000)
    """Passes; each ends with a validation and a checkpoint."""
    batches_per_epoch: int = Field(ge=1, le=1_000_000)
    """Optimiser steps per epoch."""
    batch_size: int = Field(ge=2, le=1024)
    """Patches per step."""
    patch_px: int = Field(ge=32, le=4096, multiple_of=32)
    """Side of a training patch, working pixels."""
    balanced_share: float = Field(ge=0, le=1)
    """Share of patches centred on a pixel of a class drawn uniformly; the rest are placed uniformly."""
    loss: LossSection
    learning_rate: float = Field(gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(ge=0, le=1)
    """Decoupled weight decay of AdamW."""
    warmup_share: float = Field(ge=0, lt=1)
    """Share of all steps in which the learning rate rises linearly; after it follows a cosine to zero."""
    ema_decay: float = Field(ge=0, lt=1)
    """Decay per step of the moving average of the weights, which is validated and kept; 0: no averaging."""
    clip_norm: float = Field(gt=0, le=1000)
    """Largest norm of the gradient; a longer one is shortened to it."""
    keep: Literal["best", "last"]
    """best: the weights of the epoch with the highest validation mean IoU; last: those of the last epoch."""
    augment: AugmentSection
    precision: Literal["float32", "bfloat16"]
    """bfloat16 halves the time on processors that have it; weights and sums stay float32."""
    workers: int = Field(ge=0, le=64)
    """Processes that cut patches; 0: the training process does. The patches are the same either way."""
    threads: int = Field(ge=1, le=256)
    """CPU threads of torch; another number gives other bytes of weights."""
    device: Literal["auto", "cpu", "cuda"]
    """auto: cuda when present."""

"""Sections about the data: which views, how aligned, how labelled, how split."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mineralseg.config.section import Section
from mineralseg.core.slide import Illumination
from mineralseg.errors import DataFault


def _canonical_illumination(name: str) -> str:
    try:
        return str(Illumination.parse(name))
    except DataFault as fault:
        raise ValueError(str(fault)) from fault


IlluminationName = Annotated[str, AfterValidator(_canonical_illumination)]


class DataSection(Section):
    """Which views a sample has and how a network sees them."""

    mode: Literal["stack", "separate"]
    """stack: the views of a sample become channels of one image; separate: each view is its own image."""
    illuminations: tuple[IlluminationName, ...] = Field(min_length=1)
    """Views that every sample must have, in channel order: PPL, XPL, XPL40, RL, BSE."""
    downsample: int = Field(ge=1, le=32)
    """Native pixels per working pixel: images are area-averaged by this factor before the network."""

    @model_validator(mode="after")
    def _no_view_twice(self) -> "DataSection":
        if len(set(self.illuminations)) != len(self.illuminations):
            raise ValueError(f"an illumination is listed twice: {', '.join(self.illuminations)}")
        return self


class AlignSection(Section):
    """How the views of one sample are brought on one another."""

    kind: Literal["identity"]
    """identity: the views are taken as aligned; only their sizes are compared."""


class LabelsSection(Section):
    """How masks on disk become class indices."""

    kind: Literal["class_ids"]
    """class_ids: the mask holds the codes of legend.yaml, 255 where there is no label."""


class SplitByFraction(Section):
    """Whole specimens are dealt out at random until the fractions of samples are met."""

    kind: Literal["fraction"]
    val: float = Field(gt=0, lt=1)
    """Share of the samples for validation."""
    test: float = Field(gt=0, lt=1)
    """Share of the samples for the final test."""

    @model_validator(mode="after")
    def _leaves_something_to_train(self) -> "SplitByFraction":
        if self.val + self.test >= 1:
            raise ValueError(f"val {self.val} + test {self.test} leave nothing to train on")
        return self


class SplitBySample(Section):
    """Named samples are held out; the specimen of a held-out sample is held out whole."""

    kind: Literal["sample_holdout"]
    val: tuple[str, ...] = Field(min_length=1)
    """Samples for validation."""
    test: tuple[str, ...] = Field(min_length=1)
    """Samples for the final test."""


class SplitByManifest(Section):
    """The column `split` of samples.csv says train, val or test for every sample."""

    kind: Literal["fixed_manifest"]


SplitSection = Annotated[SplitByFraction | SplitBySample | SplitByManifest, Field(discriminator="kind")]

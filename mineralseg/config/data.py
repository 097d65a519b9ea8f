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


WhenRefused = Literal["stop", "drop"]


class AlignIdentity(Section):
    """The views of a sample are taken as aligned; only their sizes are compared."""

    kind: Literal["identity"]


class AlignByRegistration(Section):
    """The views of a sample are registered on one of them, measured, and refused when they do not fit."""

    kind: Literal["register"]
    reference: IlluminationName
    """The view on whose grid the others are brought, unless samples.csv names another for a sample."""
    turned: Literal["polars", "stage_clockwise", "stage_counterclockwise"]
    """What stands at the angle in a view's name: the polars (the field keeps its place), or the stage."""
    max_rotation_deg: float = Field(gt=0, le=180)
    """Largest turn that a view may have beyond what its name says."""
    max_scale_change: float = Field(gt=0, lt=1)
    """Largest relative difference of scale beyond what the pixel sizes say."""
    max_residual_px: float = Field(gt=0, le=100)
    """Gate: how far matched places may lie apart after registration, pixels of the reference."""
    min_score: float = Field(ge=0.25, lt=1)
    """Gate: the lowest score of a registration; 0 is chance, and below 0.25 nothing is ever accepted."""
    when_refused: WhenRefused
    """stop: a refused sample stops the pipeline; drop: it is left out of all that follows."""


AlignSection = Annotated[AlignIdentity | AlignByRegistration, Field(discriminator="kind")]


class CodeMasks(Section):
    """Masks of class codes, 255 where there is no label."""

    kind: Literal["class_ids"]
    table: str | None
    """A table of codes below data/raw (code, class); null: the codes of legend.yaml."""


class ColorMasks(Section):
    """Masks or maps whose colours stand for classes."""

    kind: Literal["colors"]
    table: str | None
    """A table of colours below data/raw (mineral, colour, class); null: the colours of legend.yaml."""
    tolerance: int = Field(ge=0, le=64)
    """Largest difference of a channel at which a colour counts as one of the table, grey levels."""
    max_unmapped_percent: float = Field(ge=0, le=100)
    """Largest share of pixels whose colour is not in the table; they become void."""


class OnGrid(Section):
    """A mask has the size of the sample's reference view and lies on its pixels."""

    kind: Literal["on_grid"]


class CoarseMap(Section):
    """A mask is a coarse mineral map (QEMSCAN, TIMA, uXRF) that is registered on the aligned views."""

    kind: Literal["coarse_map"]
    map_pixel_um: float | None = Field(gt=0, le=1000)
    """Micrometres per map pixel; null: as the map's file says."""
    flips: bool
    """Whether a map may lie in any of eight orientations, or only upright."""
    max_rotation_deg: float = Field(gt=0, le=45)
    """Largest turn of a map beyond its orientation."""
    max_scale_change: float = Field(gt=0, le=0.2)
    """Largest relative difference of scale beyond what the pixel sizes say."""
    refine: Literal["affine", "bspline"]
    """affine: one linear transform; bspline: a smooth bend on top, where it proves better."""
    min_peak_ratio: float = Field(ge=1, le=20)
    """Gate: how much better the best orientation must match than the second best."""
    max_residual_map_px: float = Field(gt=0, le=10)
    """Gate: how far matched places may lie apart after registration, map pixels."""
    min_area_map_px: int = Field(ge=1, le=1000)
    """Smallest patch of one class that is believed, map pixels; smaller ones become void."""
    void_band: float = Field(ge=0, le=10)
    """Width of the void band along class boundaries, as a multiple of what map pixel and residual require."""
    when_refused: WhenRefused
    """stop: a refused map stops the pipeline; drop: its sample is left out of all that follows."""


class LabelsSection(Section):
    """How masks on disk become class indices on the grid of the aligned views."""

    masks: Annotated[CodeMasks | ColorMasks, Field(discriminator="kind")]
    placement: Annotated[OnGrid | CoarseMap, Field(discriminator="kind")]


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

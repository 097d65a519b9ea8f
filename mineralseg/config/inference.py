"""Sections about scoring and prediction."""

from typing import Literal

from pydantic import Field, model_validator

from mineralseg.config.section import Section


class EvalSection(Section):
    """What the evaluation shows."""

    overlays: int = Field(ge=0, le=1000)
    """Samples drawn in the report, worst first."""


class InferenceSection(Section):
    """How a large image is cut, predicted and blended."""

    tile_px: int = Field(ge=64, le=4096, multiple_of=32)
    """Side of a tile, working pixels."""
    overlap_px: int = Field(ge=0, le=2048)
    """Overlap of neighbouring tiles, working pixels; predictions are blended smoothly across it."""
    batch_size: int = Field(ge=1, le=1024)
    """Tiles per forward pass."""
    views: Literal[1, 4, 8]
    """Test-time averaging: 1 as is, 4 with the mirrors, 8 with mirrors and right-angle turns."""

    @model_validator(mode="after")
    def _overlap_at_most_half(self) -> "InferenceSection":
        if self.overlap_px > self.tile_px // 2:
            raise ValueError(
                f"overlap_px {self.overlap_px} is more than half of tile_px {self.tile_px}; "
                f"use at most {self.tile_px // 2}"
            )
        return self

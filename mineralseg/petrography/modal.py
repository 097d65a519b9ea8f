"""Modal mineralogy: how much of the section each mineral covers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.geometry import PixelSize
from mineralseg.core.legend import Legend


@dataclass(frozen=True)
class ModalRow:
    """One mineral's share: pixels, area percent of all valid pixels, area in mm2 if the scale is known."""

    mineral: str
    code: int
    pixels: int
    area_percent: float
    area_mm2: float | None


def measure_modal(counts: NDArray[np.int64], legend: Legend, pixel_size: PixelSize) -> list[ModalRow]:
    """Return the modal mineralogy by area, in the order of the legend.

    Area fraction estimates volume fraction on a random section (Delesse 1847). The denominator is every
    classified pixel, pores and background included if they are classes; void is left out.

    Args:
        counts: pixels by class index.
        legend: names and codes.
        pixel_size: without it areas stay None, never guessed.
    """
    total = int(counts.sum())
    return [
        ModalRow(
            mineral=mineral.name,
            code=mineral.code,
            pixels=int(count),
            area_percent=100.0 * int(count) / total if total else float("nan"),
            area_mm2=None if pixel_size.um is None else pixel_size.area_um2(int(count)) / 1e6,
        )
        for mineral, count in zip(legend.minerals, counts, strict=True)
    ]

"""Places on an image and sizes on the rock."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mineralseg.errors import ConfigurationError, DataFault


@dataclass(frozen=True)
class Window:
    """A half-open rectangle of pixels: rows `row .. row + height`, columns `col .. col + width`."""

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height <= 0 or self.width <= 0:
            raise ValueError(f"empty window {self}")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices of an array in the same frame."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)


@dataclass(frozen=True)
class PixelSize:
    """Micrometres per pixel, and who says so; `um is None` means unknown, and then no length is printed.

    `source` names the origin: the params file, the tags of the file, a scale bar, or nobody.
    """

    um: float | None
    source: Literal["declared", "file", "unknown"]

    def __post_init__(self) -> None:
        if (self.um is None) != (self.source == "unknown"):
            raise ValueError(f"a pixel size is known exactly when it has a source: {self}")
        if self.um is not None and not 1e-4 <= self.um <= 1e4:
            raise DataFault("pixel size", found=f"{self.um} um/px", expected="0.0001 to 10000 um/px")

    @classmethod
    def unknown(cls) -> "PixelSize":
        """Return the pixel size that nobody has stated."""
        return cls(None, "unknown")

    @classmethod
    def declared(cls, um: float) -> "PixelSize":
        """Return a pixel size (um per pixel) stated by a person."""
        return cls(um, "declared")

    def area_um2(self, pixels: float) -> float:
        """Return the area in um2 of a number of pixels; refused when the pixel size is unknown."""
        if self.um is None:
            raise ConfigurationError(
                "pixel size", found="unknown", expected="um per pixel", fix="declare it in samples.csv"
            )
        return pixels * self.um**2


def mirrored(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return the index in 0..length-1 that each place reflects to; the edge itself is not doubled."""
    period = max(2 * (length - 1), 1)
    folded = np.abs(places) % period
    return np.where(folded < length, folded, period - folded)


def strips(size_px: tuple[int, int], *, rows: int) -> Iterator[Window]:
    """Yield full-width windows of at most `rows` rows that cover an image (height, width), top to bottom."""
    height, width = size_px
    for row in range(0, height, rows):
        yield Window(row, 0, min(rows, height - row), width)


def tile_starts(length: int, tile: int, stride: int) -> list[int]:
    """Return where tiles of `tile` pixels start so that they cover `length` pixels exactly.

    Neighbours lie `stride` apart; the last one is moved back to end flush with the edge. A length
    shorter than a tile gives one tile at 0 (the reader pads it).
    """
    if not 0 < stride <= tile:
        raise ValueError(f"stride {stride} must be in 1..{tile}")
    if length <= tile:
        return [0]
    return [*range(0, length - tile, stride), length - tile]

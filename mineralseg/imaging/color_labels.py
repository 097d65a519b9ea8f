"""Colour maps read as classes: exactly, or within a tolerance; what is neither is told, never guessed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE
from mineralseg.imaging.color_blends import UNMAPPED, blended_pixels

_STRIP_PX = 256
_COLORS_AT_ONCE = 4096
_MOST_LISTED = 50
_UNSEEN = -2


@dataclass(frozen=True)
class UnmappedColor:
    """A colour of a map that its table does not have.

    Attributes:
        rgb: the colour.
        pixels: how many pixels have it.
        first_xy: the first of them, row by row.
        nearest: place in the table of the most similar colour.
        levels: largest difference of a channel to it.
    """

    rgb: tuple[int, int, int]
    pixels: int
    first_xy: tuple[int, int]
    nearest: int
    levels: int


@dataclass(frozen=True)
class ColorDecoding:
    """A colour map as classes.

    Attributes:
        indices_HW: class indices, uint8, 255 void.
        unmapped_px: pixels whose colour is in no table and no mixture of its neighbours'.
        edge_px: pixels between two classes whose colour is a mixture of theirs; void too.
        unmapped: the commonest unmapped colours, most frequent first.
    """

    indices_HW: NDArray[np.uint8]
    unmapped_px: int
    edge_px: int
    unmapped: tuple[UnmappedColor, ...]


def decode_colors(
    rgb_HWC: NDArray[np.uint8], *, colors: NDArray[np.uint8], classes: NDArray[np.uint8], tolerance: int
) -> ColorDecoding:
    """Return the classes of a colour map.

    A pixel has the class of the one table colour within `tolerance` levels in every channel (the nearest
    of several; void where two classes are equally near). Pixels that smoothing put between two classes
    are void: those whose colour lies between the colours of both sides, and, in a map that has such
    pixels, also thin lines of a third class whose colour happens to be that mixture.

    Cost grows with pixels, and with distinct colours times table rows; memory is that of the result, two
    bytes a pixel, and one table of all 2^24 colours.

    Args:
        rgb_HWC: uint8 (H, W, 3).
        colors: of the table (n, 3).
        classes: class index of each table colour (n,), 255 for not used.
        tolerance: levels, 0 for exact.
    """
    matcher = _Matcher(colors, classes, tolerance)
    entries_HW = np.empty(rgb_HWC.shape[:2], np.int16)
    for rows in _strips(len(rgb_HWC)):
        entries_HW[rows] = matcher.entries(rgb_HWC[rows])
    edge_HW = blended_pixels(rgb_HWC, entries_HW, colors=colors, classes=classes)
    unmapped_HW = (entries_HW == UNMAPPED) & ~edge_HW
    class_of_entry = np.append(classes, np.uint8(IGNORE))  # entry -1 is the last one
    indices_HW = class_of_entry[entries_HW]
    indices_HW[edge_HW] = IGNORE
    return ColorDecoding(
        indices_HW=indices_HW,
        unmapped_px=int(np.count_nonzero(unmapped_HW)),
        edge_px=int(np.count_nonzero(edge_HW)),
        unmapped=_listed(rgb_HWC, unmapped_HW, matcher),
    )


class _Matcher:
    """A table of all 2^24 colours, filled for the colours that occur."""

    def __init__(self, colors: NDArray[np.uint8], classes: NDArray[np.uint8], tolerance: int) -> None:
        """Start from the colours of the table (n, 3) and their classes."""
        self._colors, self._classes = colors.astype(np.int16), classes
        self._tolerance = tolerance
        self._entry_of_color = np.full(1 << 24, _UNSEEN, np.int16)

    def entries(self, rgb_HWC: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Return the table row of each pixel, -1 where there is none."""
        packed_HW = _packed(rgb_HWC)
        found_HW = self._entry_of_color[packed_HW]
        new = np.unique(packed_HW[found_HW == _UNSEEN])
        if new.size:
            self._entry_of_color[new] = self._matched(_unpacked(new))
            found_HW = self._entry_of_color[packed_HW]
        return found_HW

    def nearest(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.int16]]:
        """Return the row of the most similar table colour for each colour (m, 3), and how far it is."""
        levels = np.abs(self._colors[np.newaxis] - rgb[:, np.newaxis].astype(np.int16)).max(axis=2)
        row = levels.argmin(axis=1)
        return row, levels[np.arange(len(rgb)), row]

    def _matched(self, rgb: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Return the table row of colours (m, 3)."""
        rows = np.empty(len(rgb), np.int16)
        for start in range(0, len(rgb), _COLORS_AT_ONCE):
            part = rgb[start : start + _COLORS_AT_ONCE].astype(np.int16)
            levels = np.abs(self._colors[np.newaxis] - part[:, np.newaxis]).max(axis=2)
            row, near = levels.argmin(axis=1), levels.min(axis=1)
            tied = levels == near[:, np.newaxis]
            same = np.where(tied, self._classes[np.newaxis] == self._classes[row][:, np.newaxis], True).all(
                axis=1
            )
            rows[start : start + len(part)] = np.where((near <= self._tolerance) & same, row, UNMAPPED)
        return rows


def _listed(
    rgb_HWC: NDArray[np.uint8], unmapped_HW: NDArray[np.bool_], matcher: _Matcher
) -> tuple[UnmappedColor, ...]:
    """Return the commonest colours of the unmapped pixels."""
    counts: dict[int, int] = {}
    first: dict[int, tuple[int, int]] = {}
    for rows in _strips(len(rgb_HWC)):
        y, x = np.nonzero(unmapped_HW[rows])
        packed = _packed(rgb_HWC[rows][y, x])
        found, at, number = np.unique(packed, return_index=True, return_counts=True)
        for color, place, count in zip(found.tolist(), at.tolist(), number.tolist(), strict=True):
            counts[color] = counts.get(color, 0) + count
            first.setdefault(color, (int(x[place]), int(y[place]) + rows.start))
    common = sorted(counts, key=lambda color: (-counts[color], color))[:_MOST_LISTED]
    if not common:
        return ()
    rgb = _unpacked(np.array(common))
    nearest, levels = matcher.nearest(rgb)
    return tuple(
        UnmappedColor((int(r), int(g), int(b)), counts[color], first[color], int(row), int(apart))
        for color, (r, g, b), row, apart in zip(common, rgb, nearest, levels, strict=True)
    )


def _packed(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    wide = rgb.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def _unpacked(packed: NDArray[np.integer]) -> NDArray[np.uint8]:
    return np.stack([packed >> 16 & 0xFF, packed >> 8 & 0xFF, packed & 0xFF], axis=-1).astype(np.uint8)


def _strips(height: int) -> Iterator[slice]:
    for row in range(0, height, _STRIP_PX):
        yield slice(row, min(row + _STRIP_PX, height))

"""Pixels of a colour map that smoothing put between two classes: their colour is a mixture, no mineral's."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

UNMAPPED = -1
"""Table row of a pixel whose colour is in no row."""

_STRIP_PX = 256
_REACH_PX = 3
_HALO_PX = _REACH_PX + 2
_WIDEST_PX = 2
_BLEND_LEVELS = 3.0
_SMOOTHED_SHARE = 0.1
_FEWEST_BLENDS = 16
_CHUNK = 1 << 18
_DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
_OPPOSITE = tuple((side, side + 4) for side in range(4))
_NINE = tuple((row, col) for row in range(3) for col in range(3))
_ANY_TWO = _OPPOSITE + tuple((a, b) for a in range(8) for b in range(a + 1, 8) if b - a != 4)


def blended_pixels(
    rgb_HWC: NDArray[np.uint8],
    entries_HW: NDArray[np.int16],
    *,
    colors: NDArray[np.uint8],
    classes: NDArray[np.uint8],
) -> NDArray[np.bool_]:
    """Return the pixels that smoothing put between two classes; none in a map that was not smoothed.

    A blend has a colour of no table row, lies within 3 px of two rows, and on the straight line between
    their colours; a square of 2 x 2 equal pixels is none, but a grain of a mineral that the table lacks.
    A map was smoothed when blends stand at a tenth of its boundaries or more. There, more is blended:
    pixels of the table outside all squares of 3 x 3 of their colour, when that is a mixture of what is
    around, or of a neighbour and a mineral that shows nowhere else; single pixels; and corners where more
    than two colours meet. In a map with hard edges nothing is taken for a blend, so that thin grains, and
    strange colours that happen to be mixtures, stay what they are.

    Fails on ramps wider than 3 px either way and on unmapped veins thinner than a pixel: those stay unmapped.

    Args:
        rgb_HWC: uint8 (H, W, 3).
        entries_HW: table row of each pixel, -1 for none.
        colors: of the table rows (n, 3).
        classes: of the table rows (n,).
    """
    blend_HW = np.zeros(entries_HW.shape, np.bool_)
    if not (entries_HW == UNMAPPED).any():
        return blend_HW
    hard = 0
    for rows, inner in _haloed(len(entries_HW)):
        entries = entries_HW[rows]
        hard += _hard_edges(entries[inner])
        strange = (entries == UNMAPPED) & ~_flat(rgb_HWC[rows])
        place = np.nonzero(strange[inner])
        blend_HW[rows][inner][place] = _blends(
            rgb_HWC[rows], entries, (place[0] + inner.start, place[1]), colors
        )
    soft = int(np.count_nonzero(blend_HW))
    if soft < max(_FEWEST_BLENDS, _SMOOTHED_SHARE * (soft + hard)):
        return np.zeros_like(blend_HW)
    mixed = _Mixtures(colors, np.unique(entries_HW[entries_HW != UNMAPPED]))
    for rows, inner in _haloed(len(entries_HW)):
        entries = entries_HW[rows]
        place = np.nonzero((~_thick(entries) & (entries != UNMAPPED))[inner])
        thin = _thin_mixtures(rgb_HWC[rows], entries, (place[0] + inner.start, place[1]), classes, mixed)
        blend_HW[rows][inner][place] |= thin
        blend_HW[rows][inner] |= _lonely(entries)[inner]
        strange = (entries == UNMAPPED) & ~blend_HW[rows] & ~_flat(rgb_HWC[rows])
        place = np.nonzero(strange[inner])
        several = _among_neighbours(rgb_HWC[rows], entries, (place[0] + inner.start, place[1]), mixed.colors)
        blend_HW[rows][inner][place] |= several
    return blend_HW


_Places = tuple[NDArray[np.intp], NDArray[np.intp]]


class _Mixtures:
    """Which table colours are mixtures of one other and any third that the map holds; asked pair by pair."""

    def __init__(self, colors: NDArray[np.uint8], present: NDArray[np.int16]) -> None:
        """Take the colours of the table (n, 3) and the rows that occur."""
        self.colors = colors.astype(np.float32)
        self._present = present

    def of(self, one: NDArray[np.int16], own: NDArray[np.int16]) -> NDArray[np.bool_]:
        """Return whether the colour of row `own` lies between row `one` and a third, for pairs (m,)."""
        pairs, back = np.unique(np.stack([one, own]), axis=1, return_inverse=True)
        found = np.zeros(pairs.shape[1], np.bool_)
        for third in self._present:
            others = (pairs[0] >= 0) & (pairs[0] != third) & (pairs[1] != third) & (pairs[0] != pairs[1])
            found |= others & _between(self.colors[pairs[1]], self.colors[pairs[0]], self.colors[third])
        return found[back.ravel()]


def _blends(
    rgb_HWC: NDArray[np.uint8], entries_HW: NDArray[np.int16], places: _Places, colors: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Return which of some unmapped pixels lie between two table colours, in space and in colour."""
    found = np.zeros(len(places[0]), np.bool_)
    table = colors.astype(np.float32)
    for part in _parts(len(found)):
        rows, cols = places[0][part], places[1][part]
        seen, _ = _rays(entries_HW, rows, cols)
        color = rgb_HWC[rows, cols].astype(np.float32)
        hit = np.zeros(len(rows), np.bool_)
        for one, other in _ANY_TWO:
            ask = np.flatnonzero(~hit & (seen[one] >= 0) & (seen[other] >= 0) & (seen[one] != seen[other]))
            hit[ask] = _between(color[ask], table[seen[one][ask]], table[seen[other][ask]])
        found[part] = hit
    return found


def _thin_mixtures(
    rgb_HWC: NDArray[np.uint8],
    entries_HW: NDArray[np.int16],
    places: _Places,
    classes: NDArray[np.uint8],
    mixed: _Mixtures,
) -> NDArray[np.bool_]:
    """Return which of some pixels of the table are thin, and in colour a mixture of what is beside them."""
    found = np.zeros(len(places[0]), np.bool_)
    for part in _parts(len(found)):
        rows, cols = places[0][part], places[1][part]
        own, (seen, passed) = entries_HW[rows, cols], _rays(entries_HW, rows, cols)
        color = rgb_HWC[rows, cols].astype(np.float32)
        hit = np.zeros(len(rows), np.bool_)
        for one, other in _ANY_TWO:
            a, b = seen[one], seen[other]
            differs = (classes[a] != classes[own]) | (classes[b] != classes[own])
            ask = np.flatnonzero(~hit & (a >= 0) & (b >= 0) & (a != b) & differs)
            hit[ask] = _between(color[ask], mixed.colors[a[ask]], mixed.colors[b[ask]])
        for one, other in _OPPOSITE:
            a, b = seen[one], seen[other]
            thin = (a >= 0) & (b >= 0) & (passed[one] + passed[other] + 1 <= _WIDEST_PX)
            ask = np.flatnonzero(thin & ~hit & (classes[a] != classes[own]) & (classes[b] != classes[own]))
            hit[ask] = mixed.of(a[ask], own[ask]) | mixed.of(b[ask], own[ask])
        found[part] = hit
    return found


def _among_neighbours(
    rgb_HWC: NDArray[np.uint8], entries_HW: NDArray[np.int16], places: _Places, table: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return which of some pixels have a colour in the range of two others or more around: corners."""
    found = np.zeros(len(places[0]), np.bool_)
    for part in _parts(len(found)):
        rows, cols = places[0][part], places[1][part]
        seen, _ = _rays(entries_HW, rows, cols)
        known = (seen >= 0)[..., np.newaxis]
        levels = table[seen]
        low = np.where(known, levels, np.float32(np.inf)).min(axis=0)
        high = np.where(known, levels, np.float32(-np.inf)).max(axis=0)
        color = rgb_HWC[rows, cols].astype(np.float32)
        inside = (color >= low - _BLEND_LEVELS) & (color <= high + _BLEND_LEVELS)
        found[part] = inside.all(axis=1) & (high > low).any(axis=1)
    return found


def _flat(rgb_HWC: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels that lie in a square of 2 x 2 pixels of one colour: a grain, no blend."""
    flat = np.zeros(rgb_HWC.shape[:2], np.bool_)
    first = rgb_HWC[:-1, :-1]
    square = np.ones(first.shape[:2], np.bool_)
    for other in (rgb_HWC[1:, :-1], rgb_HWC[:-1, 1:], rgb_HWC[1:, 1:]):
        square &= (other == first).all(axis=2)
    for corner in (flat[:-1, :-1], flat[1:, :-1], flat[:-1, 1:], flat[1:, 1:]):
        np.logical_or(corner, square, out=corner)
    return flat


def _rays(
    entries_HW: NDArray[np.int16], rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return the first other table row in eight directions (8, m), -1 for none, and own pixels passed."""
    padded = np.pad(entries_HW, _REACH_PX, constant_values=UNMAPPED)
    own = entries_HW[rows, cols]
    seen = np.full((8, len(rows)), UNMAPPED, np.int16)
    passed = np.zeros((8, len(rows)), np.int16)
    for side, (down, right) in enumerate(_DIRECTIONS):
        for step in range(1, _REACH_PX + 1):
            there = padded[rows + _REACH_PX + step * down, cols + _REACH_PX + step * right]
            looking = seen[side] == UNMAPPED
            passed[side] += looking & (there == own)
            seen[side] = np.where(looking & (there != own), there, seen[side])
    return seen, passed


def _between(
    color: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return whether colours (m, 3) lie on the line from `one` to `other`, ends excluded, within 3 levels."""
    line = other - one
    along = ((color - one) * line).sum(axis=-1) / np.maximum((line * line).sum(axis=-1), 1)
    away = np.abs(color - one - along[..., np.newaxis] * line).max(axis=-1)
    inside: NDArray[np.bool_] = (along > 0) & (along < 1) & (away <= _BLEND_LEVELS)
    return inside


def _hard_edges(entries_HW: NDArray[np.int16]) -> int:
    """Return how many neighbours, side by side or one above the other, are of two table rows."""
    known = entries_HW != UNMAPPED
    across = (entries_HW[:, 1:] != entries_HW[:, :-1]) & known[:, 1:] & known[:, :-1]
    down = (entries_HW[1:] != entries_HW[:-1]) & known[1:] & known[:-1]
    return int(np.count_nonzero(across) + np.count_nonzero(down))


def _thick(entries_HW: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return the pixels that lie in a square of 3 x 3 pixels of one table row, which the frame may cut."""
    height, width = entries_HW.shape
    padded = np.pad(entries_HW, 1, mode="edge")
    whole = np.ones(entries_HW.shape, np.bool_)
    for row, col in _NINE:
        whole &= padded[row : row + height, col : col + width] == entries_HW
    spread = np.pad(whole, 1)
    thick = np.zeros(entries_HW.shape, np.bool_)
    for row, col in _NINE:
        thick |= spread[row : row + height, col : col + width]
    return thick


def _lonely(entries_HW: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return the pixels of the table none of whose eight neighbours is of the same row."""
    height, width = entries_HW.shape
    padded = np.pad(entries_HW, 1, constant_values=UNMAPPED)
    alike = np.zeros(entries_HW.shape, np.int8)
    for row, col in _NINE:
        alike += padded[row : row + height, col : col + width] == entries_HW
    lonely: NDArray[np.bool_] = (alike == 1) & (entries_HW != UNMAPPED)
    return lonely


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)


def _haloed(height: int) -> Iterator[tuple[slice, slice]]:
    """Yield strips with rows around them, and where the strip itself lies in each."""
    for start in range(0, height, _STRIP_PX):
        stop = min(start + _STRIP_PX, height)
        top, bottom = max(start - _HALO_PX, 0), min(stop + _HALO_PX, height)
        yield slice(top, bottom), slice(start - top, stop - top)

"""Pictures by which a person judges whether two images lie on one another."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE
from mineralseg.imaging.local_matching import edge_strength
from mineralseg.imaging.render import boundaries

FIXED_RGB, MOVING_RGB = (255, 150, 40), (40, 150, 255)
"""Orange and blue: told apart by every kind of colour vision, and near white where they meet."""

_GAP_PX = 12
_PAPER, _INK, _VOID = 255, (40, 40, 40), 70
_CAPTION_PX = 30
_SQUARES = 8


@dataclass(frozen=True)
class Overlaid:
    """The same window of two images on one grid.

    Attributes:
        fixed_HWC: uint8, 1 or 3 bands.
        moving_HWC: uint8, 1 or 3 bands, on the grid of the fixed one.
        valid_HW: where the moving image has pixels.
    """

    fixed_HWC: NDArray[np.uint8]
    moving_HWC: NDArray[np.uint8]
    valid_HW: NDArray[np.bool_]


def checkerboard(pair: Overlaid, *, square_px: int) -> NDArray[np.uint8]:
    """Return RGB squares of the fixed and of the moving image in turn: grains run on where both agree."""
    height, width = pair.valid_HW.shape
    row, col = np.mgrid[:height, :width] // square_px
    from_moving = (row + col) % 2 == 1
    board = np.where(from_moving[..., np.newaxis], _rgb(pair.moving_HWC), _rgb(pair.fixed_HWC))
    board[from_moving & ~pair.valid_HW] = _VOID
    return board.astype(np.uint8)


def edge_overlay(pair: Overlaid) -> NDArray[np.uint8]:
    """Return RGB edges of the fixed image in orange, of the moving one in blue; both near white."""
    edges = np.zeros((*pair.valid_HW.shape, 3), np.float32)
    for image, color, where in (
        (pair.fixed_HWC, FIXED_RGB, None),
        (pair.moving_HWC, MOVING_RGB, cv2.erode(pair.valid_HW.astype(np.uint8), np.ones((9, 9), np.uint8))),
    ):
        strength = np.clip(2.4 * edge_strength(_rgb(image).mean(axis=2, dtype=np.float32) / 255) - 0.9, 0, 1)
        strength = strength if where is None else strength * where
        edges += strength[..., np.newaxis] * np.asarray(color, np.float32)
    edges[~pair.valid_HW] = np.maximum(edges[~pair.valid_HW], _VOID * 0.6)
    return np.clip(edges, 0, 255).astype(np.uint8)


def class_outlines(
    image_HWC: NDArray[np.uint8], classes_HW: NDArray[np.uint8], colors: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return the image with the outlines of a class map in the colours of its classes, RGB.

    Args:
        image_HWC: uint8, 1 or 3 bands.
        classes_HW: class numbers on its grid, 255 void.
        colors: RGB by class number (n, 3).
    """
    drawn = (_rgb(image_HWC).astype(np.float32) * 0.75).astype(np.uint8)
    edge = boundaries(classes_HW)
    for neighbour in (classes_HW, np.roll(classes_HW, -1, axis=0), np.roll(classes_HW, -1, axis=1)):
        known = edge & (neighbour != IGNORE)
        drawn[known] = colors[neighbour[known]]
    return drawn


def telling_places(overview: Overlaid, *, side_px: int) -> list[tuple[int, int]]:
    """Return the top left corner (x, y) of the window with the strongest edges in each quarter."""
    grey_HW = cv2.GaussianBlur(_rgb(overview.fixed_HWC).mean(axis=2, dtype=np.float32), (0, 0), 1.5)
    strength_HW = cv2.magnitude(cv2.Sobel(grey_HW, cv2.CV_32F, 1, 0), cv2.Sobel(grey_HW, cv2.CV_32F, 0, 1))
    within_HW = cv2.boxFilter(
        np.where(overview.valid_HW, strength_HW, -strength_HW.max()),
        -1,
        (side_px, side_px),
        anchor=(0, 0),
        borderType=cv2.BORDER_REPLICATE,
    )
    height, width = within_HW.shape
    places = []
    for top, bottom in ((0, height // 2), (height // 2, height - side_px + 1)):
        for left, right in ((0, width // 2), (width // 2, width - side_px + 1)):
            quarter = within_HW[top:bottom, left:right]
            if quarter.size:
                y, x = np.unravel_index(int(quarter.argmax()), quarter.shape)
                places.append((left + int(x), top + int(y)))
    return places


def compare(overview: Overlaid, insets: Sequence[Overlaid], *, names: tuple[str, str]) -> NDArray[np.uint8]:
    """Return one RGB picture: checkerboard and edges of the whole field, below them some places at full size.

    Args:
        overview: the field, at most about 800 px wide.
        insets: windows at the pixels of the file, drawn twice as large.
        names: of the fixed and of the moving image.
    """
    square = max(max(overview.valid_HW.shape) // _SQUARES, 8)
    top = _row(
        [
            _captioned(checkerboard(overview, square_px=square), f"{names[0]} and {names[1]} in turn"),
            _captioned(edge_overlay(overview), f"edges: orange {names[0]}, blue {names[1]}"),
        ]
    )
    bottom = [
        _captioned(
            _twice(_stacked(inset)),
            f"place {number}, 2 x",
        )
        for number, inset in enumerate(insets, 1)
    ]
    return _column([top, _row(bottom)] if bottom else [top])


def _rgb(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.broadcast_to(image_HWC, (*image_HWC.shape[:2], 3))


def _stacked(inset: Overlaid) -> NDArray[np.uint8]:
    """Return the checkerboard of an inset above its edges."""
    board = checkerboard(inset, square_px=-(-len(inset.valid_HW) // 4))
    return np.concatenate([board, edge_overlay(inset)])


def _twice(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image_HWC.repeat(2, axis=0).repeat(2, axis=1)


def _captioned(image_HWC: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    height, width = image_HWC.shape[:2]
    panel = np.full((height + _CAPTION_PX, width, 3), _PAPER, np.uint8)
    panel[_CAPTION_PX:] = image_HWC
    cv2.putText(panel, caption, (2, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return panel


def _row(panels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(len(panel) for panel in panels)
    padded = [np.pad(p, ((0, height - len(p)), (0, _GAP_PX), (0, 0)), constant_values=_PAPER) for p in panels]
    return np.concatenate(padded, axis=1)[:, :-_GAP_PX]


def _column(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(r, ((0, _GAP_PX), (0, width - r.shape[1]), (0, 0)), constant_values=_PAPER) for r in rows
    ]
    return np.concatenate(padded)[:-_GAP_PX]

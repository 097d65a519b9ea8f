"""Evidence shows a shift that is there, and none that is not."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE
from mineralseg.imaging.evidence import (
    FIXED_RGB,
    MOVING_RGB,
    Overlaid,
    checkerboard,
    class_outlines,
    compare,
    edge_overlay,
)

SIDE = 128


def grains(shift_px: int = 0, *, bands: int = 3, inverted: bool = False) -> NDArray[np.uint8]:
    """Return bright discs on a dark ground, moved to the right, or the reverse of it."""
    image = np.full((SIDE, SIDE), 60, np.uint8)
    for x, y, radius in ((30, 32, 16), (88, 40, 22), (48, 92, 20), (104, 100, 14)):
        cv2.circle(image, (x + shift_px, y), radius, 190, -1)
    image = cv2.GaussianBlur(255 - image if inverted else image, (0, 0), 0.8)
    return np.repeat(image[..., np.newaxis], bands, axis=2)


def pair(shift_px: int = 0, **kind: bool) -> Overlaid:
    return Overlaid(grains(), grains(shift_px, **kind), np.ones((SIDE, SIDE), np.bool_))


def hue_apart(picture: NDArray[np.uint8]) -> float:
    """Return how orange and blue the lines of an edge picture are, 0 for white and grey ones."""
    return float(np.abs(picture[..., 0].astype(int) - picture[..., 2]).mean())


def test_a_checkerboard_takes_its_squares_in_turn() -> None:
    fixed, moving = np.full((SIDE, SIDE, 3), 40, np.uint8), np.full((SIDE, SIDE, 1), 200, np.uint8)
    board = checkerboard(Overlaid(fixed, moving, np.ones((SIDE, SIDE), np.bool_)), square_px=32)
    assert board.shape == (SIDE, SIDE, 3)
    assert board[::32, ::32, 0].tolist() == [[40, 200, 40, 200], [200, 40, 200, 40]] * 2
    assert np.count_nonzero(board == 200) == board.size // 2


def test_an_image_on_itself_makes_a_checkerboard_without_seams() -> None:
    assert np.array_equal(checkerboard(pair(), square_px=16), grains())


def test_a_checkerboard_shows_where_the_moving_image_has_no_pixels() -> None:
    valid = np.ones((SIDE, SIDE), np.bool_)
    valid[:, 96:] = False
    fixed = np.full((SIDE, SIDE, 1), 200, np.uint8)
    board = checkerboard(Overlaid(fixed, fixed, valid), square_px=32)
    assert (board[:32, 96:] < 100).all()
    assert (board[:32, 64:96] == 200).all()
    assert (board[32:64, 96:] == 200).all()


@pytest.mark.parametrize("inverted", [False, True])
def test_edges_that_meet_are_white_whatever_the_contrast(inverted: bool) -> None:
    """A view under crossed polars often is the negative of the plain one."""
    aligned = edge_overlay(pair(inverted=inverted))
    drawn = aligned.max(axis=2) > 200
    assert drawn.sum() > 200
    assert aligned[drawn].min() > 150


def test_one_pixel_of_shift_shows_in_colours_and_more_shows_more() -> None:
    apart = [hue_apart(edge_overlay(pair(shift_px))) for shift_px in (0, 1, 2, 4)]
    assert apart == sorted(apart)
    assert apart[1] > 1.5 * apart[0]
    assert apart[2] > 3 * apart[0]


def test_edges_of_the_fixed_image_are_orange_and_of_the_moving_one_blue() -> None:
    blank = np.full((SIDE, SIDE, 3), 90, np.uint8)
    everywhere = np.ones((SIDE, SIDE), np.bool_)
    for picture, color in (
        (edge_overlay(Overlaid(grains(), blank, everywhere)), FIXED_RGB),
        (edge_overlay(Overlaid(blank, grains(), everywhere)), MOVING_RGB),
    ):
        brightest = picture.reshape(-1, 3)[picture.reshape(-1, 3).sum(axis=1).argmax()]
        assert np.abs(brightest.astype(int) - color).max() <= 2


def test_the_border_of_the_moving_image_is_no_edge_of_it() -> None:
    valid = np.zeros((SIDE, SIDE), np.bool_)
    valid[20:-20, 20:-20] = True
    moving = np.where(valid[..., np.newaxis], np.uint8(220), np.uint8(0))
    blank = np.full((SIDE, SIDE, 1), 90, np.uint8)
    picture = edge_overlay(Overlaid(blank, moving, valid))
    assert not picture[valid].any()
    assert (picture[~valid] > 0).all()


def test_outlines_have_the_colours_of_both_classes_and_leave_the_inside_alone() -> None:
    classes = np.zeros((40, 60), np.uint8)
    classes[:, 30:] = 1
    colors = np.array([[255, 0, 0], [0, 200, 80]], np.uint8)
    image = np.full((40, 60, 1), 120, np.uint8)
    drawn = class_outlines(image, classes, colors)
    changed = (drawn != drawn[0, 0]).any(axis=2)
    assert set(np.flatnonzero(changed.any(axis=0)).tolist()) <= {28, 29, 30, 31}
    assert changed.any(axis=0).sum() >= 1
    assert {tuple(color) for color in drawn[changed].tolist()} <= {(255, 0, 0), (0, 200, 80)}
    assert np.array_equal(image, np.full((40, 60, 1), 120))


def test_a_patch_in_void_is_outlined_in_its_own_colour() -> None:
    classes = np.full((40, 40), IGNORE, np.uint8)
    classes[10:20, 10:20] = 0
    drawn = class_outlines(np.zeros((40, 40, 1), np.uint8), classes, np.array([[255, 0, 0]], np.uint8))
    red = (drawn == [255, 0, 0]).all(axis=2)
    assert np.array_equal(red, drawn.any(axis=2))
    rows, cols = np.nonzero(red)
    assert (rows.min(), cols.min()) >= (9, 9)
    assert max(rows.max(), cols.max()) == 19


def test_a_picture_holds_the_field_twice_and_places_below() -> None:
    whole = Overlaid(grains(), grains(1, bands=1), np.ones((SIDE, SIDE), np.bool_))
    plain = compare(whole, [], names=("PPL", "XPL45"))
    assert plain.dtype == np.uint8
    assert plain.shape[1] >= 2 * SIDE
    inset = Overlaid(grains()[:40, :40], grains(1)[:40, :40], np.ones((40, 40), np.bool_))
    full = compare(whole, [inset, inset], names=("PPL", "XPL45"))
    assert full.shape[1] == plain.shape[1]
    assert full.shape[0] >= plain.shape[0] + 80
    assert np.array_equal(full[: len(plain)], plain)


def test_a_picture_of_an_ordinary_field_fits_a_screen() -> None:
    image = np.zeros((600, 800, 3), np.uint8)
    whole = Overlaid(image, image, np.ones((600, 800), np.bool_))
    assert compare(whole, [], names=("PPL", "XPL")).shape[1] <= 1640

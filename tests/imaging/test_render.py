import numpy as np
import pytest
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE, Legend, Mineral
from mineralseg.imaging.render import RIGHT_RGB, WRONG_RGB, boundaries, colorize, error_map, overlay

RED, BLUE = (200, 0, 0), (0, 0, 100)
LEGEND = Legend.of([Mineral(5, "red", "#c80000"), Mineral(9, "blue", "#000064")])


def test_classes_have_the_colours_of_the_legend_and_void_is_black() -> None:
    colors = colorize(np.array([[0, 1, IGNORE]], np.uint8), LEGEND)
    assert colors.tolist() == [[list(RED), list(BLUE), [0, 0, 0]]]


def test_boundaries_lie_where_right_or_lower_neighbours_differ() -> None:
    labels = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], np.uint8)
    assert boundaries(labels).astype(int).tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("bands", [1, 3])
def test_an_overlay_tints_inside_paints_boundaries_and_leaves_void_bare(bands: int) -> None:
    image = np.full((3, 6, bands), 100, np.uint8)
    labels = np.array([[0, 0, 0, 1, 1, IGNORE]] * 3, np.uint8)
    drawn = overlay(image, labels, LEGEND, opacity=0.25)
    assert drawn.shape == (3, 6, 3)
    assert drawn.dtype == np.uint8
    assert drawn[1, 0].tolist() == [125, 75, 75]  # a quarter of the way from grey 100 to the red
    assert drawn[1, 2].tolist() == list(RED)
    assert drawn[1, 3].tolist() == [75, 75, 100]
    assert drawn[1, 4].tolist() == list(BLUE)
    assert drawn[1, 5].tolist() == [100, 100, 100]


def test_an_overlay_of_all_void_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    assert np.array_equal(overlay(image, np.full((9, 8), IGNORE, np.uint8), LEGEND), image)


def _tinted(tint: tuple[int, int, int], grey: float) -> NDArray[np.float64]:
    return 0.55 * np.array(tint) + 0.45 * grey


def test_an_error_map_is_green_where_right_red_where_wrong_grey_where_void() -> None:
    image = np.zeros((1, 4, 3), np.uint8)
    image[..., 0], image[..., 2] = 90, 30  # a mean of 40
    truth = np.array([[0, 0, IGNORE, 1]], np.uint8)
    predicted = np.array([[0, 1, 1, IGNORE]], np.uint8)
    drawn = error_map(image, truth, predicted)[0]
    np.testing.assert_allclose(drawn[0], _tinted(RIGHT_RGB, 40), atol=0.51)
    np.testing.assert_allclose(drawn[1], _tinted(WRONG_RGB, 40), atol=0.51)
    assert (drawn[2:] == 40).all()


def test_an_error_map_takes_images_of_one_band() -> None:
    image = np.full((2, 2, 1), 40, np.uint8)
    same = np.zeros((2, 2), np.uint8)
    assert error_map(image, same, same).shape == (2, 2, 3)

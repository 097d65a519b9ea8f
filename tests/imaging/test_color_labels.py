"""Colours become classes exactly; smoothed edges become void; strange colours are told."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mineralseg.core.legend import IGNORE
from mineralseg.core.slide import Illumination
from mineralseg.imaging.color_labels import ColorDecoding, decode_colors
from mineralseg.imaging.render import colorize
from mineralseg.synthetic.rock import draw_rock
from mineralseg.synthetic.section import render_section

GREYS = np.array([[0, 0, 0], [255, 255, 255], [128, 128, 128]], np.uint8)
"""The third is the mixture of the first two."""
THREE = np.array([0, 1, 2], np.uint8)


def grains(seed: int, classes: int, size_px: int = 128) -> NDArray[np.uint8]:
    """Return smooth patches of classes."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.random((size_px, size_px)), 7) for _ in range(classes)]
    return np.argmax(fields, axis=0).astype(np.uint8)


def smoothed(classes_HW: NDArray[np.uint8], colors: NDArray[np.uint8], factor: int = 4) -> NDArray[np.uint8]:
    """Return a map drawn finer and averaged, as vector programs do."""
    fine = colors[classes_HW].astype(np.float64)
    rows, cols = len(classes_HW) // factor, classes_HW.shape[1] // factor
    return np.rint(fine.reshape(rows, factor, cols, factor, 3).mean(axis=(1, 3))).astype(np.uint8)


def majority(classes_HW: NDArray[np.uint8], count: int, factor: int = 4) -> NDArray[np.float64]:
    """Return the share of each class in each averaged pixel (count, h, w)."""
    rows, cols = len(classes_HW) // factor, classes_HW.shape[1] // factor
    blocks = classes_HW.reshape(rows, factor, cols, factor)
    return np.stack([(blocks == number).mean(axis=(1, 3)) for number in range(count)])


def decode(rgb: NDArray[np.uint8], tolerance: int = 0) -> ColorDecoding:
    return decode_colors(rgb, colors=GREYS, classes=THREE, tolerance=tolerance)


def test_a_map_in_exact_colours_is_read_bit_for_bit() -> None:
    section = render_section(
        draw_rock(np.random.default_rng(1), modality="TL"),
        size_px=300,
        illuminations=[Illumination.parse("PPL")],
        pixel_size_um=1.5,
        rng=np.random.default_rng(2),
    )
    colors = np.array([mineral.rgb for mineral in section.legend.minerals], np.uint8)
    classes = np.arange(len(colors), dtype=np.uint8)
    found = decode_colors(
        colorize(section.classes_HW, section.legend), colors=colors, classes=classes, tolerance=0
    )
    assert np.array_equal(found.indices_HW, section.classes_HW)
    assert (found.unmapped_px, found.edge_px, found.unmapped) == (0, 0, ())


def test_lines_of_one_pixel_survive_in_an_exact_map() -> None:
    classes = np.random.default_rng(0).integers(0, 3, (90, 70)).astype(np.uint8)
    assert np.array_equal(decode(GREYS[classes]).indices_HW, classes)


@pytest.mark.parametrize("tolerance", [0, 4])
def test_smoothed_edges_are_void_and_never_a_third_class(tolerance: int) -> None:
    classes = grains(3, 2, 512)
    found = decode(smoothed(classes, GREYS), tolerance)
    assert not (found.indices_HW == 2).any()
    right = majority(classes, 2).argmax(axis=0)
    labelled = found.indices_HW != IGNORE
    assert np.array_equal(found.indices_HW[labelled], right[labelled])
    assert 0.7 < labelled.mean() < 0.99
    assert found.unmapped_px < 0.002 * labelled.size
    assert found.edge_px > 0


def test_grains_of_the_third_class_stay_in_a_smoothed_map() -> None:
    classes = grains(4, 3, 512)
    found = decode(smoothed(classes, GREYS))
    share = majority(classes, 3)
    whole = share.max(axis=0) == 1
    inside = whole & (ndimage.minimum_filter(whole.astype(int), 3) == 1)
    assert np.array_equal(found.indices_HW[inside], share.argmax(axis=0)[inside])


def test_strange_colours_are_counted_and_named() -> None:
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[10:30, 20:50] = (250, 10, 30)
    rgb[40:45, 5:9] = (1, 255, 250)
    found = decode(rgb)
    assert [(u.rgb, u.pixels, u.first_xy, u.nearest, u.levels) for u in found.unmapped] == [
        ((250, 10, 30), 600, (20, 10), 2, 122),
        ((1, 255, 250), 20, (5, 40), 2, 127),
    ]
    assert found.unmapped_px == 620
    assert (found.indices_HW == IGNORE).sum() == 620


def test_a_tolerance_takes_the_nearest_and_voids_what_is_as_near_to_another_class() -> None:
    colors = np.array([[10, 10, 10], [20, 10, 10]], np.uint8)
    rgb = np.array([[[12, 10, 10], [15, 10, 10], [17, 12, 9], [31, 10, 10]]], np.uint8)
    found = decode_colors(rgb, colors=colors, classes=np.array([4, 5], np.uint8), tolerance=6)
    assert found.indices_HW.tolist() == [[4, IGNORE, 5, IGNORE]]
    merged = decode_colors(rgb, colors=colors, classes=np.array([4, 4], np.uint8), tolerance=6)
    assert merged.indices_HW.tolist() == [[4, 4, 4, IGNORE]]


def test_a_colour_that_is_not_used_is_void_and_known() -> None:
    rgb = GREYS[grains(5, 2)]
    found = decode_colors(rgb, colors=GREYS, classes=np.array([0, IGNORE, 2], np.uint8), tolerance=0)
    assert set(np.unique(found.indices_HW).tolist()) == {0, IGNORE}
    assert found.unmapped_px == 0


def test_hundreds_of_colours_are_told_apart() -> None:
    colors = np.random.default_rng(6).choice(1 << 24, 900, replace=False)
    table = np.stack([colors >> 16 & 255, colors >> 8 & 255, colors & 255], axis=1).astype(np.uint8)
    classes = (np.arange(900) % 200).astype(np.uint8)
    rows = np.random.default_rng(7).integers(0, 900, (300, 40))
    found = decode_colors(table[rows], colors=table, classes=classes, tolerance=0)
    assert np.array_equal(found.indices_HW, classes[rows])


def test_a_photograph_is_unmapped_and_not_called_edges() -> None:
    rgb = np.random.default_rng(8).integers(0, 256, (120, 90, 3)).astype(np.uint8)
    found = decode(rgb)
    assert found.edge_px == 0
    assert found.unmapped_px > 0.99 * 120 * 90
    assert len(found.unmapped) == 50


@pytest.mark.parametrize("tolerance", [0, 4])
def test_nine_smoothed_minerals_are_right_or_void(tolerance: int) -> None:
    colors = np.random.default_rng(4).integers(0, 256, (9, 3)).astype(np.uint8)
    classes = grains(4, 9, 512)
    found = decode_colors(
        smoothed(classes, colors), colors=colors, classes=np.arange(9, dtype=np.uint8), tolerance=tolerance
    )
    labelled = found.indices_HW != IGNORE
    assert np.array_equal(found.indices_HW[labelled], majority(classes, 9).argmax(axis=0)[labelled])
    assert labelled.mean() > 0.4


def test_a_strange_mixture_in_a_map_with_hard_edges_is_no_edge() -> None:
    classes = grains(9, 3, 256)
    classes[::7] = 1  # lines of one pixel
    found = decode_colors(GREYS[classes], colors=GREYS[:2], classes=THREE[:2], tolerance=0)
    assert (found.edge_px, found.unmapped_px) == (0, np.count_nonzero(classes == 2))
    assert np.array_equal(found.indices_HW, np.where(classes == 2, IGNORE, classes))

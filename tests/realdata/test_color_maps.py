"""Published mineral maps (GIF) and smoothed masks: colours are told as a plain count tells them."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mineralseg.imaging.color_labels import decode_colors
from mineralseg.io.raster import open_raster, read_mask, read_mask_codes

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def root() -> Path:
    folder = Path(os.environ.get("MINERALSEG_REALDATA", ""))
    if not (folder / "sem_eds").is_dir():
        pytest.skip("MINERALSEG_REALDATA does not name a folder with sem_eds/")
    return folder


@pytest.mark.parametrize("name", ["obj1", "obj2"])
def test_a_colour_missing_in_the_table_is_counted_right(root: Path, name: str) -> None:
    path = root / "sem_eds" / name / "label_raw" / "hackathon_mineralmap.gif"
    with open_raster(path) as raster:
        rgb = raster.read_all()
    with Image.open(path) as peer:
        truth = np.asarray(peer.convert("RGB"))
    np.testing.assert_array_equal(rgb, truth)
    colors, number, counts = np.unique(truth.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    number_HW = number.reshape(truth.shape[:2])
    assert len(colors) == 7
    for missing in range(7):
        classes = np.delete(np.arange(7), missing).astype(np.uint8)
        found = decode_colors(rgb, colors=colors[classes], classes=classes, tolerance=0)
        assert (found.edge_px, found.unmapped_px) == (0, counts[missing])
        (strange,) = found.unmapped
        y, x = np.argwhere(number_HW == missing)[0]
        assert (strange.rgb, strange.pixels, strange.first_xy) == (
            tuple(colors[missing]),
            counts[missing],
            (x, y),
        )
        np.testing.assert_array_equal(found.indices_HW, np.where(number_HW == missing, 255, number_HW))


@pytest.mark.parametrize(
    "file", ["obj1/label_raw/object_mask_512x515.tif", "obj2/label_raw/object_mask_512x512.tif"]
)
def test_seventeen_greys_of_a_smoothed_mask_are_void(root: Path, file: str) -> None:
    grey_HW = read_mask(root / "sem_eds" / file)
    rgb = np.repeat(grey_HW[..., np.newaxis], 3, axis=2)
    ends = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    found = decode_colors(rgb, colors=ends, classes=np.array([0, 1], np.uint8), tolerance=0)
    assert not ((found.indices_HW == 0) & (grey_HW != 0)).any()
    assert not ((found.indices_HW == 1) & (grey_HW != 255)).any()
    assert found.edge_px + found.unmapped_px <= np.count_nonzero((grey_HW > 0) & (grey_HW < 255)) + 20
    assert found.edge_px > 1000


def test_author_codes_become_the_published_classes(root: Path) -> None:
    class_of = np.full(256, 255, np.uint8)
    class_of[2:22:2] = np.arange(10)
    masks = sorted((root / "mineral10_ppl").glob("*/label_raw/*.tif"))
    assert len(masks) == 10
    for raw in masks:
        published = read_mask(raw.parents[1] / "label" / "mask.png")
        np.testing.assert_array_equal(class_of[read_mask_codes(raw)], published)

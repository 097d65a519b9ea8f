"""Maps made of real classes, moved by a known transform, and put back on real pictures of the field."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from mineralseg.core.legend import IGNORE
from mineralseg.core.registration import Registration
from mineralseg.core.transforms import Transform
from mineralseg.imaging.map_registration import MapPrior, Refine, register_map
from mineralseg.imaging.resample import area_mean

pytestmark = pytest.mark.realdata

SANDSTONE_UM, MAP_UM, REDUCED = 0.755, 10.0, 7
XPL_SHIFT_XY_PX = (8.9, 3.7)
"""Where the content of XPL lies from that of PPL in the sandstone."""
FIELDS = ("2a", "3a", "4a", "5b", "8a", "9a", "10a", "image047")
MAPPED, PICTURED = ("Pb", "Si", "Fe", "Ca"), ("S", "K", "Al", "Cu", "As", "Ti")


@dataclass(frozen=True)
class Moved:
    """A coarse map with 5 % wrong pixels, and its true place on the field."""

    classes_HW: np.ndarray
    map_to_field: Transform


def folder_of(name: str) -> Path:
    root = os.environ.get("MINERALSEG_REALDATA", "")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"MINERALSEG_REALDATA does not name a folder with {name}/")
    return Path(root) / name


def moved(classes_HW: np.ndarray, *, pixels: float, shift_px: float, seed: int) -> Moved:
    """Return a map of `pixels` field pixels a map pixel, in a random orientation, turned, scaled, shifted."""
    rng = np.random.default_rng(seed)
    orientation = int(rng.integers(8))
    size = np.array(classes_HW.shape[::-1])
    side = (size / pixels).astype(int)
    cols, rows = side[::-1] if orientation % 2 else side
    turned = Transform.similarity(
        "turned",
        "field",
        rotation_deg=90.0 * (orientation % 4) + float(rng.uniform(-5, 5)),
        scale=pixels * float(rng.uniform(0.97, 1.03)),
        shift_xy_px=tuple(size / 2 + rng.uniform(-shift_px, shift_px, 2)),
        centre_xy_px=(0.0, 0.0),
    )
    middle = np.array([[-1.0 if orientation >= 4 else 1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    middle[:2, 2] = -middle[:2, :2] @ np.array([(cols - 1) / 2, (rows - 1) / 2])
    map_to_field = turned @ Transform(middle, "map", "turned")
    spots = np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), axis=-1).reshape(-1, 2).astype(float)
    seen = np.rint(map_to_field.apply(spots)).astype(int)
    inside = ((seen >= 0) & (seen < size)).all(axis=1)
    seen = np.clip(seen, 0, size - 1)
    named = classes_HW[seen[:, 1], seen[:, 0]].copy()
    wrong = rng.random(len(named)) < 0.05
    named[wrong] = rng.choice(np.unique(classes_HW), int(wrong.sum()))
    named[~inside] = IGNORE
    return Moved(named.reshape(rows, cols), map_to_field)


def error_map_px(found: Registration, truth: Moved, *, factor: int) -> float:
    rows, cols = truth.classes_HW.shape
    spots = np.stack(np.meshgrid(np.arange(0, cols, 3), np.arange(0, rows, 3)), axis=-1)
    spots_xy = spots.reshape(-1, 2)[truth.classes_HW[::3, ::3].ravel() != IGNORE].astype(float)
    reduced = Transform.reduction("field", factor=factor).inverse().apply(truth.map_to_field.apply(spots_xy))
    return float(np.sqrt(((found.warp.apply(reduced) - spots_xy) ** 2).sum(axis=1).mean()))


def put_on(truth: Moved, picture_HWC: np.ndarray, *, scale: float, refine: Refine) -> Registration:
    return register_map(
        truth.classes_HW,
        picture_HWC,
        prior=MapPrior(scale=scale, max_rotation_deg=5.0, max_scale_change=0.03, flips=True),
        refine=refine,
        min_peak_ratio=2.0,
        frames=("map", "picture"),
    )


def element(name: str) -> np.ndarray:
    path = folder_of("uxrf_lead_ore") / "image" / f"ore_{name}.png"
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def strongest_element() -> np.ndarray:
    """Classes of the ore: which of four elements is strongest for its own range, or none."""
    smooth = np.stack([ndimage.gaussian_filter(element(name).astype(float), 1.5) for name in MAPPED])
    relative = smooth / np.percentile(smooth, 98, axis=(1, 2), keepdims=True)
    return np.concatenate([relative, np.full((1, *smooth.shape[1:]), 0.25)]).argmax(axis=0).astype(np.uint8)


@pytest.mark.parametrize("refine", ["affine", "bspline"])
@pytest.mark.parametrize("seed", range(3))
def test_classes_of_some_elements_are_put_on_pictures_of_others(seed, refine):
    truth = moved(strongest_element(), pixels=3.0, shift_px=30, seed=seed)
    picture = np.stack([element(name) for name in PICTURED], axis=-1)
    found = put_on(truth, picture, scale=3.0, refine=refine)
    error = error_map_px(found, truth, factor=1)
    print(f"ore {seed} {refine}: error {error:.2f} map px, peak ratio {1 / (1 - found.score):.2f}")
    assert found.verdict == "accepted"
    assert error <= 1.0
    assert found.residual_px <= 3.0


def sandstone_picture(field: str) -> np.ndarray:
    """PPL and XPL, XPL moved onto PPL, at about half a map pixel a pixel."""
    ppl, xpl = (
        np.asarray(cv2.imread(str(folder_of("sandstone") / field / "image" / f"{view}.jpg")))
        for view in ("PPL", "XPL")
    )
    back = np.array([[1, 0, -XPL_SHIFT_XY_PX[0]], [0, 1, -XPL_SHIFT_XY_PX[1]]])
    xpl = cv2.warpAffine(xpl, back, xpl.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return area_mean(np.concatenate([ppl, np.asarray(xpl, np.uint8)], axis=2), factor=REDUCED)


def sandstone_map(field: str, seed: int) -> Moved:
    mask = np.asarray(
        cv2.imread(str(folder_of("sandstone") / field / "label" / "mask.png"), cv2.IMREAD_UNCHANGED)
    )
    return moved(mask, pixels=MAP_UM / SANDSTONE_UM, shift_px=60, seed=seed)


@pytest.mark.parametrize("seed", range(len(FIELDS)))
def test_a_mask_of_a_millimetre_is_put_on_its_picture_and_on_no_other(seed):
    field, another = FIELDS[seed], FIELDS[(seed + 3) % len(FIELDS)]
    picture, scale = sandstone_picture(field), MAP_UM / SANDSTONE_UM / REDUCED
    truth = sandstone_map(field, seed)
    found = put_on(truth, picture, scale=scale, refine="bspline")
    error = error_map_px(found, truth, factor=REDUCED)
    print(
        f"{field}: error {error:.2f} map px, peak ratio {1 / (1 - found.score):.2f}, {found.inliers} places"
    )
    assert found.verdict == "accepted", found.reason
    assert error <= 1.2
    assert put_on(sandstone_map(another, seed), picture, scale=scale, refine="affine").verdict == "refused"

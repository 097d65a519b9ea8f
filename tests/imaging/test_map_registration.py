from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mineralseg.core.legend import IGNORE
from mineralseg.core.registration import Registration
from mineralseg.imaging.map_registration import MapPrior, register_map
from mineralseg.imaging.map_search import without_specks
from mineralseg.synthetic.coarse_map import MisplacedMap, Misplacement, scan_misplaced

SIDE_PX, PIXEL_UM, GRAIN_UM = 360, 5.0, 110.0
SCALE = 10.0 / PIXEL_UM
PRIOR = MapPrior(scale=SCALE, max_rotation_deg=5.0, max_scale_change=0.03, flips=True)
FRAMES = ("map", "PPL")
PLACED = Misplacement(
    orientation=5,
    rotation_deg=3.0,
    scale_change=-0.02,
    shift_xy_um=(120.0, -90.0),
    elastic_um=0.0,
    wrong_share=0.05,
)


@cache
def rock(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of polygonal grains, and their picture: each class has two colours, as crystals turn."""
    rng = np.random.default_rng(seed)
    seeds = rng.uniform(0, SIDE_PX, (int((SIDE_PX * PIXEL_UM / GRAIN_UM) ** 2), 2))
    pixels = np.stack(np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX)), axis=-1).reshape(-1, 2)
    grain = cKDTree(seeds).query(pixels)[1].reshape(SIDE_PX, SIDE_PX)
    class_of_grain = rng.integers(0, 4, len(seeds)).astype(np.uint8)
    palette = rng.uniform(60, 200, (8, 6))
    colors = palette[2 * class_of_grain + rng.integers(0, 2, len(seeds))] + rng.normal(0, 6, (len(seeds), 6))
    picture = colors[grain] + rng.normal(0, 8, (SIDE_PX, SIDE_PX, 6))
    return class_of_grain[grain], np.clip(picture, 1, 255).astype(np.uint8)


@cache
def misplaced(misplacement: Misplacement, seed: int = 1) -> MisplacedMap:
    return scan_misplaced(
        rock(seed)[0],
        misplacement,
        minerals=4,
        pixel_size_um=PIXEL_UM,
        field_um=SIDE_PX * PIXEL_UM,
        rng=np.random.default_rng(seed),
    )


def registered(
    map_HW: np.ndarray, refine: str = "affine", prior: MapPrior = PRIOR, optical_HWC: np.ndarray | None = None
) -> Registration:
    optical = rock(1)[1] if optical_HWC is None else optical_HWC
    return register_map(map_HW, optical, prior=prior, refine=refine, min_peak_ratio=2.0, frames=FRAMES)


def error_map_px(found: Registration, truth: MisplacedMap) -> float:
    """Root mean square distance, map pixels, between found and true places of all spots on the image."""
    side = len(truth.classes_HW)
    spots = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(float)
    seen = truth.seen_at(spots)
    inside = ((seen >= 0) & (seen <= SIDE_PX - 1)).all(axis=1)
    apart = found.warp.apply(seen[inside]) - spots[inside]
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


@pytest.mark.parametrize("orientation", [0, 3, 5])
def test_a_map_is_found_in_any_orientation(orientation):
    truth = misplaced(replace(PLACED, orientation=orientation))
    found = registered(truth.classes_HW)
    assert (found.verdict, found.reason) == ("accepted", "")
    assert error_map_px(found, truth) < 0.3
    assert (found.moving_to_fixed.source, found.moving_to_fixed.target) == FRAMES
    assert found.mirrored == (orientation >= 4)
    assert found.scale == pytest.approx(SCALE * 0.98, rel=0.005)
    turn = 90 * (orientation % 4) + 3.0
    assert (found.rotation_deg - turn + 180) % 360 - 180 == pytest.approx(0, abs=0.3)
    assert found.score > 0.5
    assert found.residual_px < 0.5 * SCALE
    assert found.inliers >= 9


def test_the_search_alone_comes_within_a_pixel_or_two_and_says_so():
    truth = misplaced(PLACED)
    found = registered(truth.classes_HW, "none")
    assert found.method == "edge correlation"
    assert error_map_px(found, truth) < 1.5


def test_a_bent_map_is_bent_back():
    truth = misplaced(replace(PLACED, elastic_um=30.0))
    stiff, bent = registered(truth.classes_HW), registered(truth.classes_HW, "bspline")
    assert "B-spline" in bent.method
    assert error_map_px(bent, truth) < min(0.6 * error_map_px(stiff, truth), 0.6)
    assert bent.residual_px < stiff.residual_px


def test_a_straight_map_is_not_bent_by_noise():
    truth = misplaced(PLACED)
    found = registered(truth.classes_HW, "bspline")
    assert error_map_px(found, truth) < 0.3


def test_a_map_of_another_rock_is_refused():
    found = registered(misplaced(PLACED, seed=2).classes_HW)
    assert found.verdict == "refused"
    assert "another rock" in found.reason
    assert found.score < 0.3


def test_a_map_turned_more_than_allowed_is_refused():
    found = registered(misplaced(PLACED).classes_HW, prior=replace(PRIOR, flips=False))
    assert found.verdict == "refused"
    assert found.score == 0


def test_a_map_of_a_part_of_the_image_is_found():
    truth = misplaced(replace(PLACED, orientation=2, shift_xy_um=(300.0, -250.0)))
    part = replace(truth, classes_HW=truth.classes_HW.copy())
    part.classes_HW[:, :70] = IGNORE
    found = registered(part.classes_HW)
    assert found.verdict == "accepted"
    assert error_map_px(found, truth) < 0.5


@pytest.mark.parametrize("fault", ["one class", "all void", "blank image", "black image"])
def test_what_shows_no_boundaries_is_refused(fault):
    map_HW, optical_HWC = misplaced(PLACED).classes_HW, rock(1)[1]
    match fault:
        case "one class":
            map_HW = np.full_like(map_HW, 3)
        case "all void":
            map_HW = np.full_like(map_HW, IGNORE)
        case "blank image":
            optical_HWC = np.full_like(optical_HWC, 128)
        case _:
            optical_HWC = np.zeros_like(optical_HWC)
    found = registered(map_HW, optical_HWC=optical_HWC)
    assert found.verdict == "refused"
    assert "no boundaries" in found.reason


def test_nothing_is_mutated_and_the_same_images_give_the_same_result():
    map_HW, optical_HWC = misplaced(PLACED).classes_HW.copy(), rock(1)[1].copy()
    before = map_HW.tobytes(), optical_HWC.tobytes()
    rows = [registered(map_HW, optical_HWC=optical_HWC).to_row() for _ in range(2)]
    assert rows[0] == rows[1]
    assert (map_HW.tobytes(), optical_HWC.tobytes()) == before


def test_class_numbers_mean_nothing():
    map_HW = misplaced(PLACED).classes_HW
    renumbered = np.where(map_HW == IGNORE, IGNORE, 40 * (map_HW + 1)).astype(np.uint8)
    assert registered(renumbered).to_row() == registered(map_HW).to_row()


@pytest.mark.parametrize(
    "wrong", [{"scale": 0.0}, {"max_rotation_deg": 50.0}, {"max_scale_change": -0.1}, {"scale": float("nan")}]
)
def test_a_prior_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="map prior"):
        replace(PRIOR, **wrong)


def test_specks_are_outvoted_and_void_stays():
    map_HW = np.zeros((9, 9), np.uint8)
    map_HW[:, 5:] = 7
    map_HW[4, 2], map_HW[0, 0] = 7, IGNORE
    cleaned = without_specks(map_HW)
    assert cleaned[4, 2] == 0
    assert cleaned[0, 0] == IGNORE
    assert np.array_equal(cleaned[:, 3:], map_HW[:, 3:])

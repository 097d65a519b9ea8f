from dataclasses import replace

import numpy as np
import pytest

from mineralseg.core.legend import IGNORE
from mineralseg.synthetic.coarse_map import MisplacedMap, Misplacement, draw_misplacement, scan_misplaced

PIXEL_UM = 2.5
CLEAN = Misplacement(
    orientation=0,
    rotation_deg=0.0,
    scale_change=0.0,
    shift_xy_um=(0.0, 0.0),
    elastic_um=0.0,
    wrong_share=0.0,
)


def blocks() -> np.ndarray:
    """Squares of 40 px of five classes, so large that few spots straddle two."""
    classes = np.random.default_rng(0).integers(0, 5, (10, 10), dtype=np.uint8)
    return classes.repeat(40, axis=0).repeat(40, axis=1)


def scan(misplacement: Misplacement, field_um: float = 1000.0) -> MisplacedMap:
    return scan_misplaced(
        blocks(),
        misplacement,
        minerals=5,
        pixel_size_um=PIXEL_UM,
        field_um=field_um,
        rng=np.random.default_rng(1),
    )


def spots(made: MisplacedMap) -> np.ndarray:
    side = len(made.classes_HW)
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(float)


@pytest.mark.parametrize("orientation", range(8))
def test_the_truth_says_where_every_spot_was_seen(orientation):
    made = scan(
        replace(
            CLEAN,
            orientation=orientation,
            rotation_deg=4.0,
            scale_change=0.02,
            shift_xy_um=(80.0, -40.0),
            elastic_um=20.0,
        )
    )
    seen, named = np.rint(made.seen_at(spots(made))).astype(int), made.classes_HW.ravel()
    inside = ((seen >= 0) & (seen < 400)).all(axis=1)
    assert 0.6 < inside.mean() < 1
    assert (named[~inside] == IGNORE).all()
    assert (named[inside] == blocks()[seen[inside, 1], seen[inside, 0]]).mean() > 0.88


def test_orientations_turn_and_flip_the_map():
    upright = scan(CLEAN).classes_HW
    for orientation in range(8):
        scanned = scan(replace(CLEAN, orientation=orientation)).classes_HW
        flipped = np.fliplr(scanned) if orientation >= 4 else scanned
        assert (np.rot90(flipped, orientation % 4) == upright).mean() > 0.9


def test_elastic_displacements_are_smooth_and_as_long_as_told():
    made = scan(replace(CLEAN, elastic_um=20.0))
    offset = (made.seen_at(spots(made)) - made.map_to_fixed.apply(spots(made))).reshape(100, 100, 2)
    assert np.hypot(offset[..., 0], offset[..., 1]).max() * PIXEL_UM == pytest.approx(20.0, rel=0.05)
    assert np.abs(np.diff(offset, axis=0)).max() * PIXEL_UM < 2.0


def test_wrong_spots_are_as_many_as_told():
    clean, salted = scan(CLEAN), scan(replace(CLEAN, wrong_share=0.3))
    truth = blocks()[2::4, 2::4]
    extra = (salted.classes_HW != truth).mean() - (clean.classes_HW != truth).mean()
    assert extra == pytest.approx(0.3 * 0.8, abs=0.03)


def test_random_misplacements_reach_every_orientation_within_bounds():
    rng = np.random.default_rng(0)
    drawn = [draw_misplacement(rng) for _ in range(200)]
    assert {each.orientation for each in drawn} == set(range(8))
    assert max(abs(each.rotation_deg) for each in drawn) <= 5
    assert max(abs(each.scale_change) for each in drawn) <= 0.03
    assert max(np.hypot(*each.shift_xy_um) for each in drawn) <= 250

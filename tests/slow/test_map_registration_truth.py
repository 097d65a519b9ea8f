"""Coarse maps against their truth: fifty hard placements, and fifty maps of another section."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from mineralseg.core.registration import Registration
from mineralseg.core.slide import Illumination
from mineralseg.core.transforms import Transform
from mineralseg.imaging.map_registration import MapPrior, Refine, register_map
from mineralseg.imaging.resample import area_mean
from mineralseg.synthetic.coarse_map import MisplacedMap, draw_misplacement, scan_misplaced
from mineralseg.synthetic.rock import draw_rock
from mineralseg.synthetic.section import SyntheticSection, render_section

pytestmark = pytest.mark.slow

CASES, SECTIONS = 50, 10
SECTION_PX, VIEW_PX, PIXEL_UM, MAP_UM, FACTOR = 1280, 1024, 3.5, 10.0, 2
MARGIN_PX = (SECTION_PX - VIEW_PX) // 2
VIEWS = ("PPL", "XPL0", "XPL45")
PRIOR = MapPrior(scale=MAP_UM / PIXEL_UM / FACTOR, max_rotation_deg=5.0, max_scale_change=0.03, flips=True)
REDUCED = Transform.reduction("section", factor=FACTOR)


@cache
def section(index: int) -> SyntheticSection:
    """A section wider than the picture that is taken of it, so that maps show rock beyond the picture."""
    rng = np.random.default_rng(index)
    return render_section(
        draw_rock(rng, modality="TL"),
        size_px=SECTION_PX,
        illuminations=[Illumination.parse(view) for view in VIEWS],
        pixel_size_um=PIXEL_UM,
        rng=rng,
    )


@cache
def picture(index: int, views: tuple[str, ...]) -> np.ndarray:
    inner = slice(MARGIN_PX, MARGIN_PX + VIEW_PX)
    stacked = np.concatenate([section(index).images[view][inner, inner] for view in views], axis=2)
    return area_mean(stacked, factor=FACTOR)


@dataclass(frozen=True)
class Outcome:
    """A registration and its distance from the truth in map pixels, root mean square over the overlap."""

    found: Registration
    error_map_px: float
    right_orientation: bool


def outcome(
    case: int,
    *,
    refine: Refine,
    views: tuple[str, ...] = VIEWS,
    field_um: float = VIEW_PX * PIXEL_UM,
    wrong_share: float = 0.05,
    of_section: int | None = None,
) -> Outcome:
    pictured = case % SECTIONS
    rng = np.random.default_rng(1000 + case)
    mapped = section(pictured if of_section is None else of_section)
    truth = scan_misplaced(
        mapped.classes_HW,
        replace(draw_misplacement(rng), wrong_share=wrong_share),
        minerals=len(mapped.legend),
        pixel_size_um=PIXEL_UM,
        field_um=field_um,
        rng=rng,
    )
    found = register_map(
        truth.classes_HW,
        picture(pictured, views),
        prior=PRIOR,
        refine=refine,
        min_peak_ratio=2.0,
        frames=("coarse map", "section reduced"),
    )
    turned = found.moving_to_fixed.matrix[:2, :2] * FACTOR / truth.map_to_fixed.matrix[0:2, 0:2].std() / 2
    expected = truth.map_to_fixed.matrix[:2, :2] / truth.map_to_fixed.matrix[0:2, 0:2].std() / 2
    return Outcome(found, error_map_px(found, truth), bool(np.abs(turned - expected).max() < 0.1))


def error_map_px(found: Registration, truth: MisplacedMap) -> float:
    side = len(truth.classes_HW)
    spots = np.stack(np.meshgrid(np.arange(0, side, 5), np.arange(0, side, 5)), axis=-1)
    spots_xy = spots.reshape(-1, 2).astype(np.float64)
    seen = truth.seen_at(spots_xy) - MARGIN_PX
    inside = ((seen >= 0) & (seen <= VIEW_PX - 1)).all(axis=1)
    apart = found.warp.apply(REDUCED.inverse().apply(seen[inside])) - spots_xy[inside]
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


def family(refine: Refine, cases: int = CASES, **how: object) -> Iterator[Outcome]:
    return (outcome(case, refine=refine, **how) for case in range(cases))


def summary(outcomes: list[Outcome]) -> str:
    """Figures of a family, shown with -s."""
    errors = [each.error_map_px for each in outcomes]
    residuals = [
        each.found.residual_px / PRIOR.scale for each in outcomes if each.found.residual_px is not None
    ]
    ratios = [1 / (1 - each.found.score) for each in outcomes]
    return (
        f"accepted {sum(each.found.verdict == 'accepted' for each in outcomes)} of {len(outcomes)}, "
        f"orientation right {sum(each.right_orientation for each in outcomes)}, "
        f"error median {np.median(errors):.2f} max {max(errors):.2f} map px, "
        f"residual median {np.median(residuals):.2f}, peak ratio {min(ratios):.2f}..{max(ratios):.2f}, "
        f"bent {sum(each.found.bend is not None for each in outcomes)}"
    )


@pytest.mark.parametrize(("refine", "most_map_px"), [("affine", 1.0), ("bspline", 0.5)])
def test_fifty_hard_maps_are_found(refine, most_map_px):
    outcomes = list(family(refine))
    print(refine, summary(outcomes))
    assert all(each.right_orientation for each in outcomes)
    assert all(each.found.verdict == "accepted" for each in outcomes)
    errors = [each.error_map_px for each in outcomes]
    assert np.median(errors) <= most_map_px
    assert max(errors) <= 2 * most_map_px
    residuals = [each.found.residual_px / PRIOR.scale for each in outcomes]
    assert 0.5 < np.median(residuals) / np.median(errors) < 1.5


def test_no_map_of_another_section_is_accepted():
    outcomes = [
        outcome(case, refine="bspline", of_section=(case + 1 + case // SECTIONS) % SECTIONS)
        for case in range(CASES)
    ]
    print("another section", summary(outcomes))
    assert {each.found.verdict for each in outcomes} == {"refused"}
    assert max(each.found.score for each in outcomes) < 0.4


@pytest.mark.parametrize(
    "how",
    [{"views": ("PPL",)}, {"field_um": 2000.0}, {"wrong_share": 0.10}, {"wrong_share": 0.25}],
    ids=["PPL only", "map of 2 mm", "10 % wrong", "25 % wrong"],
)
def test_harder_maps_are_found_or_refused(how):
    outcomes = list(family("affine", 10, **how))
    print(how, summary(outcomes))
    accepted = [each for each in outcomes if each.found.verdict == "accepted"]
    assert all(each.right_orientation for each in accepted)
    assert len(accepted) >= 9
    assert np.median([each.error_map_px for each in accepted]) <= 1.0

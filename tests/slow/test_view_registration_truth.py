"""Views of synthetic sections on one another against their truth: fifty pairs a family, fifty wrong ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import pytest

from mineralseg.core.registration import Registration
from mineralseg.core.slide import Illumination
from mineralseg.core.transforms import Transform
from mineralseg.imaging.features import Features, describe
from mineralseg.imaging.view_registration import Prior, register_view
from mineralseg.synthetic.camera import Exposure, expose, resample
from mineralseg.synthetic.canvas import build_canvas, scene_of
from mineralseg.synthetic.crystals import draw_crystals
from mineralseg.synthetic.polished import polish_for_beam, render_backscatter
from mineralseg.synthetic.rock import draw_rock
from mineralseg.synthetic.section import render_section
from mineralseg.synthetic.transmitted import render_transmitted

pytestmark = pytest.mark.slow

CASES = 50
SECTION_PX, VIEW_PX, PIXEL_UM = 896, 576, 1.5
MIDDLE = ((VIEW_PX - 1) / 2, (VIEW_PX - 1) / 2)
LOST_PX = 1e6
LEAST_SCORE_OF_RIGHT, MOST_SCORE_OF_WRONG = 0.3, 0.2


Pictures = tuple[np.ndarray, np.ndarray, Transform, Prior]
"""Fixed, moving, moving to fixed, and what is told of it."""


@dataclass(frozen=True)
class Pair:
    """Two views of one field, how the moving one truly lies on the fixed one, and what is told of it."""

    fixed: Features
    moving: Features
    moving_to_fixed: Transform
    prior: Prior


@dataclass(frozen=True)
class Scene:
    """Two views of a section, wider than the pictures, and how the second lies on the first."""

    first_HWC: np.ndarray
    second_HWC: np.ndarray
    second_to_first: Transform


@dataclass(frozen=True)
class Outcome:
    """A registration and its distance from the truth, root mean square over the overlap."""

    found: Registration
    error_px: float


def light(case: int, first: str, second: str, modality: str) -> Scene:
    rng = np.random.default_rng(case)
    section = render_section(
        draw_rock(rng, modality=modality),
        size_px=SECTION_PX,
        illuminations=[Illumination.parse(first), Illumination.parse(second)],
        pixel_size_um=PIXEL_UM,
        rng=rng,
    )
    return Scene(section.images[first], section.images[second], section.view_to_fixed[second])


def light_and_beam(case: int, first: str) -> Scene:
    """A thin section in transmitted light and its very grains under the beam; opaque grains are pyrite."""
    rng = np.random.default_rng(case)
    margin_px = 4
    canvas = build_canvas(
        draw_rock(rng, modality="TL"),
        size_px=SECTION_PX,
        margin_px=margin_px,
        pixel_size_um=PIXEL_UM,
        rng=rng,
    )
    crystals, surface = draw_crystals(canvas, rng), polish_for_beam(canvas, rng)
    whole = scene_of(canvas, slice(0, canvas.side_px))
    illumination = Illumination.parse(first)
    gain = 0.79 if first == "PPL" else 1.12
    optical = _taken(
        render_transmitted(canvas, crystals, whole, illumination),
        margin_px,
        Exposure((gain,) * 3, 0.7, 0.1, (0.45, 0.55), 6000.0, 0.002, 0.001, srgb=True),
        rng,
    )
    electrons = _taken(
        render_backscatter(canvas, surface, whole, Illumination.parse("BSE")),
        margin_px,
        Exposure((0.8,), 0.7, 0.02, (0.5, 0.5), 700.0, 0.012, 0.05, srgb=False),
        rng,
    )
    return Scene(optical, electrons, Transform(np.eye(3), "BSE", first))


def _taken(light_HWC: np.ndarray, margin_px: int, exposure: Exposure, rng: np.random.Generator) -> np.ndarray:
    onto_canvas = np.eye(3)
    onto_canvas[:2, 2] = margin_px
    view = resample(
        light_HWC,
        view_to_canvas=Transform(onto_canvas, "view", "canvas"),
        size_px=SECTION_PX,
        blur_px=exposure.blur_px,
    )
    return expose(view, exposure, rng)


def photographed(
    scene: Scene, rng: np.random.Generator, *, turn_deg: float, scale: float, shift_px: float
) -> tuple[np.ndarray, np.ndarray, Transform]:
    """Return pictures of the middle of a scene, the second turned, scaled and shifted, and the truth."""
    corner = (SECTION_PX - VIEW_PX) // 2
    inner = slice(corner, corner + VIEW_PX)
    onto_section = np.eye(3)
    onto_section[:2, 2] = corner
    displaced = Transform.similarity(
        "moving",
        "picture",
        rotation_deg=turn_deg,
        scale=scale,
        shift_xy_px=tuple(rng.uniform(-shift_px, shift_px, 2)),
        centre_xy_px=MIDDLE,
    )
    view, first = scene.second_to_first.source, scene.second_to_first.target
    to_second = Transform(onto_section, "picture", view) @ displaced
    moving = cv2.warpAffine(
        scene.second_HWC,
        to_second.matrix[:2],
        (VIEW_PX, VIEW_PX),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
    ).reshape(VIEW_PX, VIEW_PX, -1)
    to_fixed = Transform(onto_section, "fixed", first).inverse() @ scene.second_to_first @ to_second
    return scene.first_HWC[inner, inner], moving, to_fixed


def relit(image_HWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture under another lamp: gain, gamma, a slope of brightness, noise."""
    height, width = image_HWC.shape[:2]
    slope = np.linspace(-1, 1, width)[np.newaxis, :, np.newaxis] * rng.uniform(-0.2, 0.2)
    slope = slope + np.linspace(-1, 1, height)[:, np.newaxis, np.newaxis] * rng.uniform(-0.2, 0.2)
    level = (image_HWC / 255.0) ** rng.uniform(0.7, 1.4) * rng.uniform(0.6, 1.3) * (1 + slope)
    noisy = level * 255 + rng.normal(0, 3, image_HWC.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def polariser_pair(case: int) -> Pictures:
    rng = np.random.default_rng([1, case])
    scene = light(case, "PPL", f"XPL{rng.integers(0, 90)}", "TL")
    fixed, moving, truth = photographed(scene, rng, turn_deg=0.0, scale=1.0, shift_px=12)
    return fixed, moving, truth, Prior(0.0, 5.0, 1.0, 0.03)


def stage_pair(case: int) -> Pictures:
    """XPL at extinction position phi on PPL: the stage turned the picture too, told to within 2 degrees."""
    rng = np.random.default_rng([2, case])
    angle = int(rng.integers(0, 360))
    scene = light(100 + case, "PPL", f"XPL{angle}", "TL")
    fixed, moving, truth = photographed(scene, rng, turn_deg=-float(angle), scale=1.0, shift_px=15)
    return fixed, moving, truth, Prior(-angle + float(rng.uniform(-2, 2)), 4.0, 1.0, 0.03)


def neighbour_pair(case: int) -> Pictures:
    """Two stage angles of XPL, 5 to 40 degrees apart."""
    rng = np.random.default_rng([3, case])
    angle = int(rng.integers(5, 41))
    scene = light(200 + case, "XPL0", f"XPL{angle}", "TL")
    fixed, moving, truth = photographed(scene, rng, turn_deg=-float(angle), scale=1.0, shift_px=15)
    return fixed, moving, truth, Prior(-angle + float(rng.uniform(-2, 2)), 4.0, 1.0, 0.03)


def ore_pair(case: int) -> Pictures:
    rng = np.random.default_rng([4, case])
    scene = light(300 + case, "RL0", "RL90", "RL")
    fixed, moving, truth = photographed(
        scene, rng, turn_deg=float(rng.uniform(-180, 180)), scale=float(rng.uniform(0.98, 1.02)), shift_px=20
    )
    return fixed, relit(moving, rng), truth, Prior(None, 0.0, 1.0, 0.05)


def beam_pair(case: int) -> Pictures:
    rng = np.random.default_rng([5, case])
    scene = light_and_beam(400 + case, "PPL" if case % 2 else f"XPL{rng.integers(0, 90)}")
    fixed, moving, truth = photographed(
        scene,
        rng,
        turn_deg=float(rng.uniform(-4, 4)),
        scale=float(rng.uniform(0.98, 1.02)),
        shift_px=20,
    )
    return fixed, moving, truth, Prior(0.0, 5.0, 1.0, 0.05)


FAMILIES: dict[str, Callable[[int], Pictures]] = {
    "PPL <- XPL": polariser_pair,
    "PPL <- turned XPL": stage_pair,
    "XPL <- turned XPL": neighbour_pair,
    "RL <- RL, any turn": ore_pair,
    "PPL or XPL <- BSE": beam_pair,
}


@lru_cache(maxsize=CASES)
def pair(family: str, case: int) -> Pair:
    fixed_HWC, moving_HWC, moving_to_fixed, prior = FAMILIES[family](case)
    return Pair(describe(fixed_HWC), describe(moving_HWC), moving_to_fixed, prior)


def error_px(found: Transform, truth: Transform) -> float:
    """Root mean square distance over a grid of the fixed picture, where the moving one truly lies."""
    spots = np.stack(np.meshgrid(np.arange(0, VIEW_PX, 20), np.arange(0, VIEW_PX, 20)), axis=-1)
    fixed_xy = spots.reshape(-1, 2).astype(float)
    moving_xy = truth.inverse().apply(fixed_xy)
    inside = ((moving_xy >= 0) & (moving_xy <= VIEW_PX - 1)).all(axis=1)
    apart = found.apply(moving_xy[inside]) - fixed_xy[inside]
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


def outcome(fixed: Pair, moving: Pair) -> Outcome:
    found = register_view(fixed.fixed, moving.moving, prior=moving.prior, frames=("moving", "fixed"))
    lost = found.moving_to_fixed is None
    return Outcome(found, LOST_PX if lost else error_px(found.moving_to_fixed, moving.moving_to_fixed))


def right(family: str, cases: int = CASES) -> Iterator[Outcome]:
    return (outcome(pair(family, case), pair(family, case)) for case in range(cases))


def wrong(family: str, cases: int = CASES) -> Iterator[Outcome]:
    """Pairs of two different samples."""
    return (outcome(pair(family, case), pair(family, (case + 1) % cases)) for case in range(cases))


def summary(family: str, outcomes: list[Outcome]) -> str:
    """Figures of a family, shown with -s."""
    errors = np.array([each.error_px for each in outcomes])
    scores = np.array([each.found.score for each in outcomes])
    residuals = [each.found.residual_px for each in outcomes if each.found.residual_px is not None]
    accepted = sum(each.found.verdict == "accepted" for each in outcomes)
    return (
        f"{family}: accepted {accepted} of {len(outcomes)}, error median {np.median(errors):.3f} "
        f"p95 {np.percentile(errors, 95):.3f} max {errors.max():.3f} px, "
        f"residual median {np.median(residuals or [np.nan]):.3f}, "
        f"score {scores.min():.2f}..{scores.max():.2f}"
    )


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """One family after the other, so that the views of one at a time are kept."""
    return str(request.param)


def test_fifty_pairs_are_found(family):
    outcomes = list(right(family))
    print(summary(family, outcomes))
    errors = [each.error_px for each in outcomes]
    assert {each.found.verdict for each in outcomes} == {"accepted"}
    assert np.median(errors) <= 0.3
    assert np.percentile(errors, 95) <= 1.0
    assert min(each.found.score for each in outcomes) > LEAST_SCORE_OF_RIGHT


def test_fifty_wrong_pairs_are_refused(family):
    outcomes = list(wrong(family))
    print("wrong", summary(family, outcomes))
    assert {each.found.verdict for each in outcomes} == {"refused"}
    assert max(each.found.score for each in outcomes) < MOST_SCORE_OF_WRONG

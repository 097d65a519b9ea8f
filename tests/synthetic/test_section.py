from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mineralseg.core.slide import Illumination
from mineralseg.errors import ConfigurationError
from mineralseg.synthetic.canvas import build_canvas, scene_of
from mineralseg.synthetic.catalogue import PORE
from mineralseg.synthetic.crystals import draw_crystals
from mineralseg.synthetic.rock import Rock, draw_rock
from mineralseg.synthetic.section import SyntheticSection, render_section
from mineralseg.synthetic.transmitted import render_transmitted

DEFAULT_VIEWS = {"TL": ("PPL", "XPL0", "XPL45"), "RL": ("RL",), "BSE": ("BSE",)}


@cache
def rock_of(modality: str, seed: int = 1) -> Rock:
    return draw_rock(np.random.default_rng(seed), modality=modality)


@cache
def section(
    modality: str = "TL",
    seed: int = 7,
    size_px: int = 320,
    views: tuple[str, ...] = (),
    pixel_size_um: float = 1.5,
) -> SyntheticSection:
    return render_section(
        rock_of(modality),
        size_px=size_px,
        illuminations=[Illumination.parse(view) for view in views or DEFAULT_VIEWS[modality]],
        pixel_size_um=pixel_size_um,
        rng=np.random.default_rng(seed),
    )


def flattened(made: SyntheticSection) -> bytes:
    arrays = [*made.images.values(), made.classes_HW, made.grain_ids_HW, made.coarse_map_HWC]
    return b"".join(array.tobytes() for array in arrays)


@pytest.mark.parametrize("modality", ["TL", "RL", "BSE"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(modality):
    first, again, other = (section.__wrapped__(modality, seed, 96) for seed in (3, 3, 4))
    assert flattened(first) == flattened(again)
    assert first.grains == again.grains
    assert flattened(first) != flattened(other)


@pytest.mark.parametrize("modality", ["TL", "RL", "BSE"])
@pytest.mark.parametrize("size_px", [64, 97, 320])
def test_views_and_truth_agree_in_size_and_type(modality, size_px):
    made = section(modality, size_px=size_px)
    assert tuple(made.images) == DEFAULT_VIEWS[modality]
    for image in made.images.values():
        assert image.shape == (size_px, size_px, 1 if modality == "BSE" else 3)
        assert image.dtype == np.uint8
    assert made.classes_HW.shape == made.grain_ids_HW.shape == (size_px, size_px)
    assert made.classes_HW.dtype == np.uint8
    assert made.classes_HW.max() < len(made.legend)
    assert made.coarse_map_HWC.shape[:2] == (round(size_px * 0.15),) * 2


@pytest.mark.parametrize("modality", ["TL", "RL", "BSE"])
def test_no_view_has_empty_borders(modality):
    for image in section(modality).images.values():
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert border.std() > 5


def test_modal_fractions_are_the_counts():
    made = section()
    assert sum(made.modal_fraction.values()) == pytest.approx(1)
    for index, name in enumerate(made.legend.names):
        assert made.modal_fraction[name] == (made.classes_HW == index).mean()


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["TL", "RL", "BSE"]))
def test_requested_fractions_are_met(seed, modality):
    rock = replace(draw_rock(np.random.default_rng(seed), modality=modality), grain_um=60.0)
    canvas = build_canvas(rock, size_px=512, margin_px=10, pixel_size_um=1.5, rng=np.random.default_rng(seed))
    classes = canvas.class_of_label[canvas.labels_HW][canvas.frame]
    for index, name in enumerate(canvas.legend.names):
        tolerance = 1e-4 if name == PORE else 0.01
        assert (classes == index).mean() == pytest.approx(rock.fractions[name], abs=tolerance)


def test_a_rock_without_pores_or_with_one_mineral_is_possible():
    rock = replace(rock_of("TL"), fractions={"quartz": 1.0})
    made = render_section(
        rock,
        size_px=80,
        illuminations=[Illumination("XPL", 0.0)],
        pixel_size_um=1.5,
        rng=np.random.default_rng(0),
    )
    assert made.modal_fraction["quartz"] == 1.0


def test_grains_describe_the_label_map():
    made = section()
    assert {grain.id for grain in made.grains} == set(np.unique(made.grain_ids_HW)) - {0}
    assert sum(grain.area_px for grain in made.grains) == (made.grain_ids_HW > 0).sum()
    for grain in made.grains:
        rows, columns = np.nonzero(made.grain_ids_HW == grain.id)
        assert grain.area_px == len(rows)
        assert grain.centroid_xy_px == pytest.approx((columns.mean(), rows.mean()))
        assert np.pi / 4 * grain.ecd_um**2 == pytest.approx(grain.area_px * 1.5**2)
        assert set(made.classes_HW[rows, columns]) == {made.legend.names.index(grain.mineral)}
        assert 0 <= grain.axis_deg <= 180
    assert np.array_equal(made.grain_ids_HW == 0, made.classes_HW == 0)


def sampled(image_HW: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(image_HW.astype(np.float64), points_xy.T[::-1], order=1)


def agreement(made: SyntheticSection, view: str, nudge_xy_px: tuple[float, float]) -> float:
    """Correlation of the fixed view with another one brought back, displaced by `nudge_xy_px`."""
    fixed = next(iter(made.images.values()))[..., 1]
    side = len(fixed)
    grid = np.mgrid[20 : side - 20, 20 : side - 20].reshape(2, -1).T[:, ::-1].astype(np.float64)
    moving = made.view_to_fixed[view].inverse().apply(grid + nudge_xy_px)
    here = sampled(fixed, grid)
    there = sampled(made.images[view][..., 1], moving)
    return float(np.corrcoef(here, there)[0, 1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_view_to_fixed_brings_a_view_back(seed):
    made = section("TL", seed, 320, ("PPL", "PPL20"))
    best = agreement(made, "PPL20", (0, 0))
    assert best > 0.95
    for nudge in [(0.7, 0), (-0.7, 0), (0, 0.7), (0, -0.7)]:
        assert agreement(made, "PPL20", nudge) < best


def test_views_are_displaced_within_their_bounds_and_the_first_is_fixed():
    made = section()
    assert np.array_equal(made.view_to_fixed["PPL"].matrix, np.eye(3))
    middle = np.array([[159.5, 159.5]])
    for view in ("XPL0", "XPL45"):
        transform = made.view_to_fixed[view]
        assert (transform.source, transform.target) == (view, "PPL")
        assert 0 < np.linalg.norm(transform.apply(middle) - middle) <= 3
        turn_deg = np.rad2deg(np.arctan2(transform.matrix[0, 1], transform.matrix[0, 0]))
        assert 0 < abs(turn_deg) <= 0.4


def map_agreement(made: SyntheticSection, nudge_map_px: float) -> float:
    """Share of interior map pixels whose colour is that of the class under them."""
    side = len(made.coarse_map_HWC)
    rows, columns = np.mgrid[:side, :side]
    spots = np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64) + np.array(
        [nudge_map_px, 0.0]
    )
    place = np.rint(made.coarse_map_to_fixed.apply(spots)).astype(int)
    palette = np.array([mineral.rgb for mineral in made.legend.minerals])
    uniform = ndimage.minimum_filter(made.classes_HW, 9) == ndimage.maximum_filter(made.classes_HW, 9)
    inside = ((place >= 0) & (place < len(made.classes_HW))).all(1)
    place, colors = place[inside], made.coarse_map_HWC.reshape(-1, 3)[inside]
    interior = uniform[place[:, 1], place[:, 0]] if nudge_map_px == 0 else np.ones(len(place), bool)
    truth = palette[made.classes_HW[place[:, 1], place[:, 0]]]
    return float((truth == colors).all(1)[interior].mean())


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("modality", ["TL", "RL", "BSE"])
def test_the_coarse_map_lies_where_its_transform_says(modality, seed):
    made = section(modality, seed)
    assert made.coarse_map_to_fixed.target == DEFAULT_VIEWS[modality][0]
    assert map_agreement(made, 0) > 0.9
    assert map_agreement(made, 3) < map_agreement(made, 0) - 0.1


def test_the_coarse_map_is_imperfect_and_speaks_the_legend():
    made = section()
    palette = {mineral.rgb for mineral in made.legend.minerals}
    assert {tuple(color) for color in made.coarse_map_HWC.reshape(-1, 3).tolist()} <= palette
    assert map_agreement(made, 0) < 1


@cache
def clean_light(view: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    canvas = build_canvas(rock_of("TL"), size_px=256, margin_px=8, pixel_size_um=1.5, rng=rng)
    crystals = draw_crystals(canvas, rng)
    return render_transmitted(canvas, crystals, scene_of(canvas, slice(0, 272)), Illumination.parse(view))


def test_xpl_repeats_after_a_quarter_turn_of_the_polars_but_not_before():
    assert np.abs(clean_light("XPL0") - clean_light("XPL90")).max() < 0.012
    assert np.abs(clean_light("XPL0") - clean_light("XPL45")).max() > 0.5


def test_ppl_repeats_after_half_a_turn():
    assert np.abs(clean_light("PPL0") - clean_light("PPL180")).max() < 1e-4
    assert np.array_equal(clean_light("PPL"), clean_light("PPL0"))


def brightness_of(mineral: str, view: str, angle_offset_deg: float) -> np.ndarray:
    """Mean brightness of the core of each large grain of a mineral, polars turned from its own axis."""
    made = section()
    means = []
    for grain in sorted(made.grains, key=lambda grain: -grain.area_px):
        if grain.mineral == mineral and len(means) < 2:
            lit = section(views=(f"{view}{(grain.axis_deg + angle_offset_deg) % 180:.2f}",))
            core = ndimage.binary_erosion(made.grain_ids_HW == grain.id, iterations=6)
            means.append(next(iter(lit.images.values()))[core].mean())
    return np.array(means)


def test_quartz_is_dark_at_its_extinction_angle_and_bright_in_between():
    """A grain cut across its optic axis stays dark all the way round, so not every one lights up."""
    extinct, open_ = brightness_of("quartz", "XPL", 0), brightness_of("quartz", "XPL", 45)
    assert (extinct < 60).all()
    assert (extinct < open_).all()
    assert (open_ > 3 * extinct).any()


def test_biotite_is_darker_along_its_slow_ray():
    assert (brightness_of("biotite", "PPL", 0) < brightness_of("biotite", "PPL", 90)).all()


def test_minerals_look_as_they_should():
    made = section()
    index = made.legend.names.index
    plane = made.images["PPL"].astype(float)
    crossed = made.images["XPL0"].astype(float)
    core = {
        name: ndimage.binary_erosion(made.classes_HW == index(name), iterations=4)
        for name in (PORE, "quartz", "opaque", "biotite")
    }
    red, _, blue = plane[core[PORE]].mean(0)
    assert blue > 1.5 * red
    assert plane[core["quartz"]].mean() > 190
    assert plane[core["opaque"]].mean() < 40
    assert plane[core["biotite"]][:, 0].mean() > 1.3 * plane[core["biotite"]][:, 2].mean()
    assert crossed[core[PORE]].mean() < 40
    assert crossed[core["opaque"]].mean() < 30


@pytest.mark.parametrize(
    ("modality", "darker_to_brighter"),
    [
        ("RL", ("gangue", "sphalerite", "galena", "pyrite")),
        ("BSE", ("pore", "quartz", "K-feldspar", "biotite", "pyrite")),
    ],
)
def test_polished_minerals_are_ranked_by_reflectance_or_atomic_number(modality, darker_to_brighter):
    made = section(modality, size_px=320)
    image = next(iter(made.images.values()))
    means = [
        image[ndimage.binary_erosion(made.classes_HW == made.legend.names.index(name), iterations=2)].mean()
        for name in darker_to_brighter
    ]
    assert means == sorted(means)


@pytest.mark.parametrize(
    ("views", "size_px", "pixel_size_um"),
    [
        ((), 128, 1.5),
        (("PPL", "PPL"), 128, 1.5),
        (("PPL", "RL"), 128, 1.5),
        (("PPL",), 63, 1.5),
        (("PPL",), 10_000, 1.5),
        (("PPL",), 128, 100.0),
        (("PPL",), 128, 0.0),
    ],
)
def test_a_section_that_cannot_be_is_refused(views, size_px, pixel_size_um):
    with pytest.raises(ConfigurationError, match="synthetic section"):
        render_section(
            rock_of("TL"),
            size_px=size_px,
            illuminations=[Illumination.parse(view) for view in views],
            pixel_size_um=pixel_size_um,
            rng=np.random.default_rng(0),
        )


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.integers(64, 150), st.floats(0.3, 6.0), st.sampled_from(["TL", "RL", "BSE"]))
def test_any_size_and_scale_renders(seed, size_px, pixel_size_um, modality):
    rng = np.random.default_rng(seed)
    made = render_section(
        draw_rock(rng, modality=modality),
        size_px=size_px,
        illuminations=[Illumination.parse(view) for view in DEFAULT_VIEWS[modality]],
        pixel_size_um=pixel_size_um,
        rng=rng,
    )
    assert made.grains
    assert made.coarse_map_HWC.size > 0
    assert all(image.std() > 0 for image in made.images.values())


@pytest.mark.slow
def test_a_large_section_renders():
    made = section("TL", size_px=2048, views=("PPL", "XPL0"))
    assert made.images["XPL0"].shape == (2048, 2048, 3)
    for name, share in rock_of("TL").fractions.items():
        assert made.modal_fraction[name] == pytest.approx(share, abs=0.002)

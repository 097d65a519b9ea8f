"""Views without structure or with each other's names are told apart from good ones."""

import numpy as np
import pytest

from mineralseg.core.slide import Illumination
from mineralseg.imaging.view_quality import fault_of_names, fault_of_view
from mineralseg.synthetic.rock import draw_rock
from mineralseg.synthetic.section import render_section

GOOD = {
    modality: [
        render_section(
            draw_rock(np.random.default_rng([seed]), modality=modality),
            size_px=160,
            illuminations=[Illumination.parse(view) for view in views],
            pixel_size_um=pixel_size_um,
            rng=np.random.default_rng([seed, 1]),
        ).images
        for seed in range(6)
    ]
    for modality, views, pixel_size_um in (
        ("TL", ("PPL", "XPL0", "XPL45"), 1.5),
        ("RL", ("RL",), 0.7),
        ("BSE", ("BSE",), 0.5),
    )
}


def test_good_views_have_no_fault() -> None:
    found = [
        fault_of_view(image) for sections in GOOD.values() for images in sections for image in images.values()
    ]
    assert set(found) == {""}


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((50, 60, 3), 120, np.uint8), "blank"),
        (np.random.default_rng(0).integers(118, 123, (200, 200, 3)).astype(np.uint8), "blank"),
        (np.full((50, 60, 1), 255, np.uint8), "overexposed: 100 % of it is white"),
        (np.zeros((50, 60, 3), np.uint8), "underexposed: 100 % of it is black"),
    ],
)
def test_views_that_show_nothing_are_named(image: np.ndarray, says: str) -> None:
    assert says in fault_of_view(image)


def test_a_burnt_out_view_is_named() -> None:
    image = GOOD["TL"][0]["PPL"]
    burnt = np.clip(image.astype(int) * 3, 0, 255).astype(np.uint8)
    assert "overexposed" in fault_of_view(burnt)


@pytest.mark.parametrize("crossed", ["XPL0", "XPL45"])
def test_swapped_names_are_noticed_and_right_ones_are_not(crossed: str) -> None:
    for images in GOOD["TL"]:
        assert not fault_of_names(plane_HWC=images["PPL"], crossed_HWC=images[crossed])
        assert "each other's names" in fault_of_names(plane_HWC=images[crossed], crossed_HWC=images["PPL"])

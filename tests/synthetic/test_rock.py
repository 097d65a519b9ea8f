from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.errors import ConfigurationError
from mineralseg.synthetic.catalogue import PORE, assemblage_of, legend_of
from mineralseg.synthetic.polished import backscatter_coefficient
from mineralseg.synthetic.rock import draw_rock

MODALITIES = ("TL", "RL", "BSE")


@given(st.integers(0, 10_000), st.sampled_from(MODALITIES))
def test_every_rock_is_a_valid_recipe_of_all_classes(seed, modality):
    rock = draw_rock(np.random.default_rng(seed), modality=modality)
    assert set(rock.fractions) == set(legend_of(modality).names)
    assert sum(rock.fractions.values()) == pytest.approx(1)
    assert min(rock.fractions.values()) > 0
    assert 30 <= rock.grain_um <= 250


def test_rocks_differ_by_seed_and_repeat_with_it():
    draws = [draw_rock(np.random.default_rng(seed), modality="TL") for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize("modality", MODALITIES)
def test_assemblages_have_physics_for_every_class_and_pores_first(modality):
    assemblage = assemblage_of(modality)
    assert len(assemblage.physics) == len(assemblage.legend)
    assert assemblage.legend.names[0] == PORE
    assert set(assemblage.platy) <= set(assemblage.legend.names)


def test_an_unknown_modality_is_refused():
    with pytest.raises(ConfigurationError, match="expected TL, RL or BSE"):
        draw_rock(np.random.default_rng(0), modality="XRF")


@pytest.mark.parametrize(
    "change",
    [
        {"fractions": {"quartz": 0.5}},
        {"fractions": {"quartz": 1.5, "pore": -0.5}},
        {"fractions": {"kryptonite": 1.0}},
        {"fractions": {}},
        {"grain_um": 0.0},
        {"elongation": 0.5},
        {"sorting": -1.0},
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change):
    rock = draw_rock(np.random.default_rng(0), modality="TL")
    with pytest.raises(ConfigurationError, match="rock"):
        replace(rock, **change)


@given(st.floats(5, 60), st.floats(0.5, 20))
def test_heavier_minerals_scatter_more_electrons(atomic_number, more):
    assert backscatter_coefficient(atomic_number + more) > backscatter_coefficient(atomic_number)


def test_backscatter_of_gold_is_about_one_half():
    assert backscatter_coefficient(79) == pytest.approx(0.49, abs=0.03)

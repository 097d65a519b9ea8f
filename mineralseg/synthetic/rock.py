"""The recipe of a specimen, and how recipes vary from specimen to specimen."""

from dataclasses import dataclass

import numpy as np

from mineralseg.errors import ConfigurationError
from mineralseg.synthetic.catalogue import legend_of


@dataclass(frozen=True)
class Rock:
    """The recipe of a specimen.

    `fractions` are areal shares by class name (sum 1, `pore` included). Grain sizes are lognormal with
    median `grain_um` (equivalent circle diameter) and standard deviation `sorting` of the natural
    logarithm. `rounding` (0..1) wears off corners, so that pores open between three grains; `roughness`
    (0..1) corrugates contacts; `elongation` is the mean aspect ratio of platy grains and `fabric_deg`
    their preferred direction; `clustering` (0..1) gathers grains of a mineral; `staining` (0..1) coats
    grains with iron oxide and clay.
    """

    modality: str
    texture: str
    fractions: dict[str, float]
    grain_um: float
    sorting: float
    rounding: float
    roughness: float
    elongation: float
    fabric_deg: float
    clustering: float
    staining: float

    def __post_init__(self) -> None:
        legend = legend_of(self.modality)
        unknown = sorted(set(self.fractions) - set(legend.names))
        if unknown:
            raise ConfigurationError(
                "rock", found=f"unknown minerals {', '.join(unknown)}", expected=", ".join(legend.names)
            )
        if min(self.fractions.values(), default=-1) < 0 or abs(sum(self.fractions.values()) - 1) > 1e-6:
            raise ConfigurationError(
                "rock", found=f"fractions {self.fractions}", expected="shares from 0 to 1 that sum to 1"
            )
        if not (self.grain_um > 0 and self.sorting >= 0 and self.elongation >= 1):
            raise ConfigurationError(
                "rock",
                found=f"grain_um {self.grain_um}, sorting {self.sorting}, elongation {self.elongation}",
                expected="a positive grain size, sorting of at least 0 and elongation of at least 1",
            )


@dataclass(frozen=True)
class _Texture:
    """Means from which rocks of one texture are drawn; shares are relative, ranges are uniform."""

    name: str
    shares: dict[str, float]
    grain_um: tuple[float, float]
    sorting: tuple[float, float]
    rounding: tuple[float, float]
    roughness: tuple[float, float]
    clustering: float
    staining: tuple[float, float]


_SILICATES = ("pore", "quartz", "plagioclase", "K-feldspar", "calcite", "biotite")
_SULPHIDES = ("pore", "gangue", "pyrite", "chalcopyrite", "galena", "sphalerite", "magnetite")


def _sandstone(name: str, accessory: str, shares: tuple[float, ...]) -> _Texture:
    return _Texture(
        name,
        dict(zip((*_SILICATES, accessory), shares, strict=True)),
        grain_um=(80, 180),
        sorting=(0.35, 0.52),
        rounding=(0.35, 0.75),
        roughness=(0.35, 0.65),
        clustering=0.15,
        staining=(0.15, 0.9),
    )


def _granitoid(name: str, accessory: str, shares: tuple[float, ...]) -> _Texture:
    return _Texture(
        name,
        dict(zip((*_SILICATES, accessory), shares, strict=True)),
        grain_um=(100, 210),
        sorting=(0.40, 0.60),
        rounding=(0.05, 0.12),
        roughness=(0.5, 0.9),
        clustering=0.35,
        staining=(0.0, 0.15),
    )


def _ore(name: str, shares: tuple[float, ...]) -> _Texture:
    return _Texture(
        name,
        dict(zip(_SULPHIDES, shares, strict=True)),
        grain_um=(40, 110),
        sorting=(0.45, 0.70),
        rounding=(0.02, 0.06),
        roughness=(0.7, 1.0),
        clustering=0.75,
        staining=(0.0, 0.0),
    )


_TEXTURES = {
    "TL": (
        _sandstone("quartz sandstone", "opaque", (0.16, 0.50, 0.10, 0.10, 0.08, 0.03, 0.03)),
        _sandstone("arkose", "opaque", (0.13, 0.30, 0.20, 0.22, 0.06, 0.06, 0.03)),
        _sandstone("calcareous sandstone", "opaque", (0.09, 0.32, 0.13, 0.12, 0.28, 0.03, 0.03)),
        _granitoid("granodiorite", "opaque", (0.02, 0.26, 0.34, 0.18, 0.05, 0.12, 0.03)),
    ),
    "RL": (
        _ore("massive sulphide", (0.012, 0.18, 0.32, 0.16, 0.10, 0.16, 0.05)),
        _ore("lead-zinc ore", (0.012, 0.30, 0.13, 0.06, 0.20, 0.24, 0.04)),
        _ore("magnetite-chalcopyrite ore", (0.012, 0.32, 0.10, 0.20, 0.04, 0.06, 0.25)),
    ),
    "BSE": (
        _sandstone("arkose", "pyrite", (0.13, 0.32, 0.19, 0.18, 0.09, 0.06, 0.03)),
        _granitoid("granodiorite", "pyrite", (0.02, 0.26, 0.33, 0.18, 0.07, 0.11, 0.03)),
    ),
}
_CONCENTRATION = 45.0
"""Of the Dirichlet law: a share of 0.3 varies by about 0.07 from rock to rock."""


def draw_rock(rng: np.random.Generator, *, modality: str) -> Rock:
    """Return the recipe of a random rock: a texture of the modality, its fractions and grain size varied.

    Args:
        rng: source of all randomness.
        modality: `TL` (views PPL and XPL), `RL` (polished ore) or `BSE`.

    Raises:
        ConfigurationError: there is no such modality.
    """
    legend_of(modality)
    textures = _TEXTURES[modality]
    texture = textures[int(rng.integers(len(textures)))]
    shares = rng.dirichlet(_CONCENTRATION * np.array(list(texture.shares.values())))
    shares = (shares + 0.004) / (1 + 0.004 * len(shares))
    return Rock(
        modality=modality,
        texture=texture.name,
        fractions={name: float(share) for name, share in zip(texture.shares, shares, strict=True)},
        grain_um=float(rng.uniform(*texture.grain_um)),
        sorting=float(rng.uniform(*texture.sorting)),
        rounding=float(rng.uniform(*texture.rounding)),
        roughness=float(rng.uniform(*texture.roughness)),
        elongation=float(rng.uniform(2.6, 3.6)),
        fabric_deg=float(rng.uniform(0, 180)),
        clustering=texture.clustering,
        staining=float(rng.uniform(*texture.staining)),
    )

"""The minerals a synthetic specimen can hold, and the constants by which a microscope sees them.

Rounded typical values, good for pictures and not for identification: for measured ones see Deer, Howie
& Zussman, *An Introduction to the Rock-Forming Minerals* (2013, doi:10.1180/DHZ) and Criddle & Stanley,
*Quantitative Data File for Ore Minerals* (3rd ed., 1993). Absorbances, and the tilts of feldspar planes
against the indicatrix, were chosen by eye; mean atomic numbers are weighted by mass.
"""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from mineralseg.core.legend import Legend, Mineral
from mineralseg.errors import ConfigurationError

RGB = tuple[float, float, float]
Direction = tuple[float, float, float]
Physics_co = TypeVar("Physics_co", covariant=True)

PORE = "pore"
"""Name of class 0 of every legend: space filled with resin."""


@dataclass(frozen=True)
class Twin:
    """Lamellae of a twin: plane normal in the frame of the indicatrix, mean width, share of twinned grains.

    In the `plain` habit both individuals are equally wide, in the `sparse` one the second is thin, in the
    `crossed` one a second set stands at right angles (the tartan of microcline).
    """

    normal: Direction
    width_um: float
    grain_share: float
    habit: Literal["plain", "sparse", "crossed"] = "plain"


@dataclass(frozen=True)
class Transparent:
    """A mineral in a 30 um section.

    `indices` are n_alpha, n_beta, n_gamma along the axes of the indicatrix, in whose frame all
    directions are given; `absorbance` is the natural-log density of the section for light vibrating
    along each of them; the other shares and strengths are 0..1.
    """

    indices: tuple[float, float, float]
    absorbance: tuple[RGB, RGB, RGB] = ((0.02, 0.02, 0.02),) * 3
    cleavages: tuple[Direction, ...] = ()
    cleavage_strength: float = 0.0
    plate_normal: Direction | None = None
    twin: Twin | None = None
    cloud: RGB = (0.0, 0.0, 0.0)
    speck_share: float = 0.002
    fleck_share: float = 0.0
    undulosity_deg: float = 0.0
    fracture: float = 0.0
    outline: float = 0.5


@dataclass(frozen=True)
class Polished:
    """A polished surface: reflectance in air (0..1, RGB), bireflectance, and how well it takes a polish."""

    reflectance: RGB
    bireflectance: float = 0.0
    pit_share: float = 0.003
    scratch: float = 0.1
    cleavage: float = 0.0
    mottle: float = 0.01
    outline: float = 0.3


@dataclass(frozen=True)
class Emitter:
    """A surface under the electron beam: mean atomic number and its texture."""

    mean_atomic_number: float
    zoning: float = 0.0
    pit_share: float = 0.003
    cleavage: float = 0.0
    fracture: float = 0.1


@dataclass(frozen=True)
class Assemblage(Generic[Physics_co]):
    """What a modality can show: the legend, the physics of each class in its order, and the view names.

    Grains of the `platy` minerals are elongated, others are not.
    """

    legend: Legend
    physics: tuple[Physics_co, ...]
    views: tuple[str, ...]
    platy: tuple[str, ...] = ()


def _mineral(code: int, name: str, color: str, density_g_cm3: float | None = None) -> Mineral:
    return Mineral(code, name, color, density_g_cm3)


_GLASSY: tuple[RGB, RGB, RGB] = ((0.015, 0.02, 0.025),) * 3
_EPOXY: tuple[RGB, RGB, RGB] = ((3.1, 1.15, 0.38),) * 3
_BROWN: tuple[RGB, RGB, RGB] = ((0.30, 0.55, 1.25), (1.20, 2.05, 3.6), (1.30, 2.25, 3.9))
_BLACK: tuple[RGB, RGB, RGB] = ((5.6, 5.8, 6.0),) * 3

TRANSMITTED = Assemblage(
    Legend.of(
        [
            _mineral(0, PORE, "#3c78d8"),
            _mineral(1, "quartz", "#ffe680", 2.65),
            _mineral(2, "plagioclase", "#7fc8a9", 2.67),
            _mineral(3, "K-feldspar", "#e58f65", 2.57),
            _mineral(4, "calcite", "#9be7ff", 2.71),
            _mineral(5, "biotite", "#7a4a21", 3.10),
            _mineral(6, "opaque", "#303030", 5.18),
        ]
    ),
    (
        Transparent((1.54, 1.54, 1.54), _EPOXY, cloud=(1.2, 0.42, 0.1), outline=0.2, speck_share=0.001),
        Transparent(
            (1.544, 1.544, 1.553),
            _GLASSY,
            cloud=(0.015, 0.02, 0.03),
            speck_share=0.004,
            undulosity_deg=5.0,
            fracture=0.5,
            outline=0.45,
        ),
        Transparent(
            (1.536, 1.541, 1.5455),
            _GLASSY,
            cleavages=((0.30, 0.90, 0.316), (0.90, -0.36, 0.245)),
            cleavage_strength=0.22,
            plate_normal=(0.30, 0.90, 0.316),
            twin=Twin((0.30, 0.90, 0.316), width_um=11.0, grain_share=0.93),
            cloud=(0.10, 0.12, 0.15),
            speck_share=0.006,
            fleck_share=0.025,
            outline=0.4,
        ),
        Transparent(
            (1.518, 1.5225, 1.525),
            _GLASSY,
            cleavages=((0.24, 0.0, 0.97), (0.94, 0.25, 0.23)),
            cleavage_strength=0.30,
            twin=Twin((0.24, 0.0, 0.97), width_um=8.0, grain_share=0.6, habit="crossed"),
            cloud=(0.34, 0.50, 0.66),
            speck_share=0.014,
            outline=0.55,
        ),
        Transparent(
            (1.486, 1.658, 1.658),
            ((0.03, 0.04, 0.05), (0.07, 0.08, 0.10), (0.07, 0.08, 0.10)),
            cleavages=((0.712, 0.702, 0.0), (0.712, -0.351, 0.608), (0.712, -0.351, -0.608)),
            cleavage_strength=0.75,
            twin=Twin((0.896, 0.444, 0.0), width_um=9.0, grain_share=0.6, habit="sparse"),
            cloud=(0.06, 0.07, 0.10),
            speck_share=0.006,
            outline=1.0,
        ),
        Transparent(
            (1.590, 1.640, 1.642),
            _BROWN,
            cleavages=((1.0, 0.0, 0.0),),
            cleavage_strength=1.1,
            plate_normal=(1.0, 0.0, 0.0),
            cloud=(0.10, 0.16, 0.22),
            speck_share=0.006,
            undulosity_deg=3.0,
            outline=0.8,
        ),
        Transparent((2.42, 2.42, 2.42), _BLACK, speck_share=0.0, outline=1.0),
    ),
    views=("PPL", "XPL"),
    platy=("biotite",),
)

REFLECTED = Assemblage(
    Legend.of(
        [
            _mineral(0, PORE, "#202040"),
            _mineral(1, "gangue", "#8c8c8c", 2.70),
            _mineral(2, "pyrite", "#f2e6a0", 5.02),
            _mineral(3, "chalcopyrite", "#e0b020", 4.20),
            _mineral(4, "galena", "#c0d8f0", 7.58),
            _mineral(5, "sphalerite", "#a05a5a", 4.05),
            _mineral(6, "magnetite", "#60485c", 5.18),
        ]
    ),
    (
        Polished((0.020, 0.021, 0.023), mottle=0.30, pit_share=0.0, scratch=0.0, outline=0.1),
        Polished((0.052, 0.053, 0.055), bireflectance=0.06, mottle=0.10, pit_share=0.012, scratch=0.15),
        Polished((0.555, 0.535, 0.435), pit_share=0.010, scratch=0.04, outline=0.75),
        Polished((0.480, 0.430, 0.245), bireflectance=0.03, pit_share=0.002, scratch=0.35),
        Polished((0.420, 0.430, 0.455), pit_share=0.010, scratch=0.80, cleavage=0.35),
        Polished((0.168, 0.168, 0.176), pit_share=0.006, scratch=0.20, mottle=0.05, outline=0.45),
        Polished((0.212, 0.200, 0.196), pit_share=0.012, scratch=0.06, outline=0.65),
    ),
    views=("RL",),
)

BACKSCATTER = Assemblage(
    Legend.of(
        [
            _mineral(0, PORE, "#101018"),
            _mineral(1, "quartz", "#ffe680", 2.65),
            _mineral(2, "plagioclase", "#7fc8a9", 2.67),
            _mineral(3, "K-feldspar", "#e58f65", 2.57),
            _mineral(4, "calcite", "#9be7ff", 2.71),
            _mineral(5, "biotite", "#7a4a21", 3.10),
            _mineral(6, "pyrite", "#f2e6a0", 5.02),
        ]
    ),
    (
        Emitter(6.2, zoning=0.25, pit_share=0.0, fracture=0.0),
        Emitter(10.80, pit_share=0.002, fracture=0.45),
        Emitter(11.28, zoning=0.16, pit_share=0.008, cleavage=0.25),
        Emitter(11.85, zoning=0.10, pit_share=0.014, cleavage=0.35),
        Emitter(12.57, zoning=0.08, pit_share=0.004, cleavage=0.45),
        Emitter(14.60, zoning=0.25, pit_share=0.004, cleavage=0.90),
        Emitter(20.65, pit_share=0.006, fracture=0.25),
    ),
    views=("BSE",),
    platy=("biotite",),
)


def legend_of(modality: str) -> Legend:
    """Return the legend of a modality; raises `ConfigurationError` as `assemblage_of` does."""
    return assemblage_of(modality).legend


def assemblage_of(modality: str) -> Assemblage[Transparent | Polished | Emitter]:
    """Return what a modality can show: `TL` (transmitted light), `RL` (reflected light) or `BSE`.

    Raises:
        ConfigurationError: there is no such modality.
    """
    match modality:
        case "TL":
            return TRANSMITTED
        case "RL":
            return REFLECTED
        case "BSE":
            return BACKSCATTER
    raise ConfigurationError(
        f"modality {modality!r}", found="no synthetic specimen", expected="TL, RL or BSE"
    )

"""The grains of a thin section as light meets them: orientation, twins, cleavage, alteration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mineralseg.synthetic.canvas import Canvas
from mineralseg.synthetic.catalogue import TRANSMITTED, Transparent
from mineralseg.synthetic.grains import PLATY_ASPECT
from mineralseg.synthetic.optics import rotations, section_indicatrix
from mineralseg.synthetic.texture import Field, lamella_table, line_table, upper_tail

THICKNESS_UM = 30.0
_CLEAVAGE_SPACING_UM = 15.0
_SECOND_SHARE = {"plain": 0.5, "sparse": 0.16, "crossed": 0.5}
TWIN_HABITS = tuple(_SECOND_SHARE)

Floats = NDArray[np.float64]
Members = NDArray[np.intp]


@dataclass(frozen=True)
class Crystals:
    """What light meets in every grain: one row a label, row 0 the resin of the pores.

    Attributes:
        retardation_nm: by individual of a twin (labels, 2).
        azimuth_rad: of the slow ray, counter-clockwise from right, by individual (labels, 2).
        slow_density: natural-log density for the slow ray, RGB, by individual (labels, 2, 3).
        fast_density: the same for the fast ray.
        twin_normal: unit normal of the lamellae, x right, y up (labels, 2).
        twin_width_px: their mean width, inf in an untwinned grain (labels,).
        twin_habit: index into `TWIN_HABITS` (labels,).
        cleavage: unit normal x, y and strength of each set of cleavage traces (labels, sets, 3).
        cloud: density of turbidity, RGB (labels, 3).
        speck_level: noise above it is a dark speck (labels,).
        fleck_level: noise above it is a flake of mica (labels,).
        undulosity_rad: spread of the azimuth within the grain (labels,).
        fracture: density of cracks (labels,).
        outline: density of the grain's outline (labels,).
        stain: density of its coating (labels,).
        lamellae: profiles across twins by habit.
        lines: profile across cleavage traces.
    """

    retardation_nm: Field
    azimuth_rad: Field
    slow_density: Field
    fast_density: Field
    twin_normal: Field
    twin_width_px: Field
    twin_habit: NDArray[np.intp]
    cleavage: Field
    cloud: Field
    speck_level: Field
    fleck_level: Field
    undulosity_rad: Field
    fracture: Field
    outline: Field
    stain: Field
    lamellae: Field
    lines: Field


def draw_crystals(canvas: Canvas, rng: np.random.Generator) -> Crystals:
    """Return a random orientation and state for every grain of a canvas, in 30 um of rock."""
    labels = len(canvas.class_of_label)
    um = canvas.pixel_size_um

    def blank(*shape: int) -> Field:
        return np.zeros((labels, *shape), np.float32)

    crystals = Crystals(
        retardation_nm=blank(2),
        azimuth_rad=blank(2),
        slow_density=blank(2, 3),
        fast_density=blank(2, 3),
        twin_normal=blank(2),
        twin_width_px=np.full(labels, np.inf, np.float32),
        twin_habit=np.zeros(labels, np.intp),
        cleavage=blank(3, 3),
        cloud=blank(3),
        speck_level=blank(),
        fleck_level=blank(),
        undulosity_rad=blank(),
        fracture=blank(),
        outline=blank(),
        stain=blank(),
        lamellae=np.stack([lamella_table(rng, share=_SECOND_SHARE[habit]) for habit in TWIN_HABITS]),
        lines=line_table(rng, spacing_px=max(_CLEAVAGE_SPACING_UM / um, 3.0), width_px=0.55 / um)[None],
    )
    for index, mineral in enumerate(TRANSMITTED.physics):
        members = np.flatnonzero(canvas.class_of_label == index)
        rotation = _orientations(canvas, mineral, members, rng)
        _fill_optics(crystals, mineral, members, rotation, rng)
        _fill_lines(crystals, mineral, members, rotation, um, rng)
        _fill_state(crystals, mineral, members, canvas.rock.staining, rng)
    return crystals


def _fill_optics(
    crystals: Crystals, mineral: Transparent, members: Members, rotation: Floats, rng: np.random.Generator
) -> None:
    """Write how the grains of a mineral refract and absorb, for both individuals of a twin."""
    turned = rotation if mineral.twin is None else rotation @ _half_turn(mineral.twin.normal)
    density = np.asarray(mineral.absorbance) * rng.uniform(0.85, 1.15, (len(members), 1, 1))
    for individual, orientation in enumerate((rotation, turned)):
        birefringence, azimuth, fast, slow = section_indicatrix(mineral.indices, orientation)
        crystals.retardation_nm[members, individual] = 1000 * THICKNESS_UM * birefringence
        crystals.azimuth_rad[members, individual] = azimuth
        crystals.slow_density[members, individual] = np.einsum("ni,nic->nc", slow, density)
        crystals.fast_density[members, individual] = np.einsum("ni,nic->nc", fast, density)


def _fill_lines(
    crystals: Crystals,
    mineral: Transparent,
    members: Members,
    rotation: Floats,
    pixel_size_um: float,
    rng: np.random.Generator,
) -> None:
    """Write the traces of twin and cleavage planes of the grains of a mineral."""
    count, twin = len(members), mineral.twin
    if twin is not None:
        normal, steepness = _trace(rotation, twin.normal)
        width_px = twin.width_um / pixel_size_um / np.maximum(steepness, 0.25)
        width_px = np.maximum(width_px * rng.lognormal(0, 0.45, count), 1.4)
        twinned = rng.random(count) < twin.grain_share
        crystals.twin_normal[members] = normal
        crystals.twin_width_px[members] = np.where(twinned, width_px, np.inf)
        crystals.twin_habit[members] = TWIN_HABITS.index(twin.habit)
    for position, plane in enumerate(mineral.cleavages):
        normal, steepness = _trace(rotation, plane)
        seen = np.clip((steepness - 0.45) / 0.4, 0, 1) * mineral.cleavage_strength
        crystals.cleavage[members, position] = np.column_stack([normal, seen * rng.uniform(0.5, 1.1, count)])


def _fill_state(
    crystals: Crystals, mineral: Transparent, members: Members, staining: float, rng: np.random.Generator
) -> None:
    """Write how altered, strained, broken and coated the grains of a mineral are."""
    count = len(members)
    crystals.cloud[members] = np.asarray(mineral.cloud) * rng.lognormal(-0.1, 0.45, (count, 1))
    crystals.speck_level[members] = upper_tail(mineral.speck_share * rng.lognormal(-0.1, 0.5, count))
    crystals.fleck_level[members] = upper_tail(mineral.fleck_share * rng.lognormal(-0.2, 0.7, count))
    crystals.undulosity_rad[members] = np.deg2rad(mineral.undulosity_deg) * rng.lognormal(-0.5, 0.7, count)
    crystals.fracture[members] = mineral.fracture * rng.random(count) ** 2
    crystals.outline[members] = mineral.outline
    crystals.stain[members] = staining * rng.lognormal(-0.3, 0.6, count)


def _orientations(canvas: Canvas, mineral: Transparent, members: Members, rng: np.random.Generator) -> Floats:
    """Return rotations crystal to microscope: uniform, but plates of elongated grains stand on edge."""
    count = len(members)
    height = rng.uniform(-1, 1, count)
    turn = rng.uniform(0, 2 * np.pi, count)
    spin = rng.uniform(0, 2 * np.pi, count)
    if mineral.plate_normal is not None and members.min(initial=1) > 0:
        grain = members - 1
        elongated = canvas.packing.aspect[grain] > PLATY_ASPECT
        height = np.where(elongated, 0.35 * height, height)
        turn = np.where(elongated, canvas.packing.angle_rad[grain] + np.pi / 2, turn)
    flat = np.sqrt(1 - height**2)
    normal = np.column_stack([flat * np.cos(turn), flat * np.sin(turn), height])
    axis = np.asarray(mineral.plate_normal or (1.0, 0.0, 0.0))
    return rotations(normal, axis / np.linalg.norm(axis), spin)


def _half_turn(axis: tuple[float, float, float]) -> Floats:
    """Return the rotation by 180 degrees about an axis: the albite law about the normal of (010)."""
    unit = np.asarray(axis) / np.linalg.norm(axis)
    return 2 * np.outer(unit, unit) - np.eye(3)


def _trace(rotation: Floats, plane: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """Return the in-section unit normals (n, 2) of a crystal plane's traces, and how steep it stands (n,)."""
    normal = rotation @ (np.asarray(plane) / np.linalg.norm(plane))
    steepness = np.hypot(normal[:, 0], normal[:, 1])
    return normal[:, :2] / np.maximum(steepness, 1e-9)[:, None], steepness

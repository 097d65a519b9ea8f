"""Polished surfaces: ore under reflected light, and any rock under the electron beam."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mineralseg.core.slide import Illumination
from mineralseg.synthetic.canvas import Canvas, Scene
from mineralseg.synthetic.catalogue import BACKSCATTER, REFLECTED
from mineralseg.synthetic.texture import Field, line_table, look_up, upper_tail

_SCRATCH_SETS_DEG = (17.0, 64.0, 128.0)
_PIT_DEPTH = 0.85


@dataclass(frozen=True)
class Surface:
    """What the polish shows of every grain: one row a label, row 0 the resin of the pores.

    Attributes:
        signal: reflectance or backscatter coefficient (labels, C).
        bireflectance: relative amplitude of its change with the polariser (labels,).
        azimuth_rad: direction in which it is brightest (labels,).
        pit_level: noise above it is a pit (labels,).
        scratch: depth of scratches, 0..1 (labels,).
        cleavage: depth of opened cleavage, 0..1 (labels,).
        cleavage_normal: unit normal of its traces, x right, y up (labels, 2).
        mottle: relative amplitude of uneven tone or zoning (labels,).
        outline: depth of the grain's outline, 0..1 (labels,).
        crack: depth of fractures, 0..1 (labels,).
        lines: profiles across scratches (0) and cleavage (1).
    """

    signal: Field
    bireflectance: Field
    azimuth_rad: Field
    pit_level: Field
    scratch: Field
    cleavage: Field
    cleavage_normal: Field
    mottle: Field
    outline: Field
    crack: Field
    lines: Field


def backscatter_coefficient(mean_atomic_number: float) -> float:
    """Return the share of beam electrons (about 20 keV) that a flat specimen scatters back.

    Reuter's polynomial, in Goldstein et al. 2018, doi:10.1007/978-1-4939-6676-9, for Z from 4 to 92.
    """
    z = mean_atomic_number
    return -0.0254 + 0.016 * z - 1.86e-4 * z**2 + 8.3e-7 * z**3


def polish_ore(canvas: Canvas, rng: np.random.Generator) -> Surface:
    """Return the polished surface of an ore as reflected light meets it (RGB)."""
    minerals = REFLECTED.physics
    blank = _blank(canvas, [mineral.pit_share for mineral in minerals], rng)
    return replace(
        blank,
        signal=_spread(canvas, [mineral.reflectance for mineral in minerals]),
        bireflectance=_spread(canvas, [mineral.bireflectance for mineral in minerals]),
        scratch=_spread(canvas, [mineral.scratch for mineral in minerals]),
        cleavage=_spread(canvas, [mineral.cleavage for mineral in minerals]),
        mottle=_spread(canvas, [mineral.mottle for mineral in minerals]),
        outline=_spread(canvas, [mineral.outline for mineral in minerals]),
    )


def polish_for_beam(canvas: Canvas, rng: np.random.Generator) -> Surface:
    """Return the polished surface of a rock as the electron beam meets it (one channel)."""
    minerals = BACKSCATTER.physics
    blank = _blank(canvas, [mineral.pit_share for mineral in minerals], rng)
    fracture = _spread(canvas, [mineral.fracture for mineral in minerals])
    return replace(
        blank,
        signal=_spread(canvas, [(backscatter_coefficient(m.mean_atomic_number),) for m in minerals]),
        cleavage=_spread(canvas, [mineral.cleavage for mineral in minerals]),
        mottle=_spread(canvas, [mineral.zoning for mineral in minerals]),
        crack=fracture * rng.random(len(fracture), np.float32) ** 2,
    )


def _spread(canvas: Canvas, by_class: Sequence[float] | Sequence[tuple[float, ...]]) -> Field:
    """Return values by class as values by label."""
    return np.array(by_class, np.float32)[canvas.class_of_label]


def _blank(canvas: Canvas, pit_share: Sequence[float], rng: np.random.Generator) -> Surface:
    """Return a surface with pits and random orientations, and nothing else yet."""
    labels, um = len(canvas.class_of_label), canvas.pixel_size_um
    long_side_rad = np.concatenate([np.zeros(1), canvas.packing.angle_rad])
    none = np.zeros(labels, np.float32)
    return Surface(
        signal=none,
        bireflectance=none,
        azimuth_rad=rng.uniform(0, np.pi, labels).astype(np.float32),
        pit_level=upper_tail(_spread(canvas, pit_share) * rng.lognormal(-0.2, 0.7, labels)),
        scratch=none,
        cleavage=none,
        cleavage_normal=np.column_stack([-np.sin(long_side_rad), np.cos(long_side_rad)]).astype(np.float32),
        mottle=none,
        outline=none,
        crack=none,
        lines=np.stack(
            [
                line_table(rng, spacing_px=max(spacing_um / um, 4.0), width_px=0.5 / um)
                for spacing_um in (55.0, 14.0)
            ]
        ),
    )


def render_reflected(canvas: Canvas, surface: Surface, scene: Scene, illumination: Illumination) -> Field:
    """Return the reflectance (0..1, linear RGB) of rows of a polished section, (h, W, 3).

    Args:
        canvas: the section.
        surface: its polish.
        scene: the rows.
        illumination: its angle turns the polariser, on which bireflectance depends.
    """
    label = scene.label
    polar_rad = np.float32(np.deg2rad(illumination.angle_deg or 0.0))
    turned = 1 + surface.bireflectance[label] * np.cos(2 * (surface.azimuth_rad[label] - polar_rad))
    mottled = 1 + surface.mottle[label] * (0.6 * scene.blotch + 0.4 * scene.grit)
    scratched = 1 - 0.6 * surface.scratch[label] * _scratches(canvas, surface, scene)
    edge_um = scene.edge_px * np.float32(canvas.pixel_size_um)
    relief = 1 - surface.outline[label] * np.exp(-((edge_um / 1.8) ** 2))
    damage = turned * mottled * scratched * relief * _intact(surface, scene)
    light: Field = surface.signal[label] * damage[..., None]
    return light


def render_backscatter(canvas: Canvas, surface: Surface, scene: Scene, illumination: Illumination) -> Field:
    """Return the backscattered signal of rows of a section, 0 = resin, 1 = about pyrite, (h, W, 1)."""
    del illumination  # the beam has no angle
    label = scene.label
    floor, ceiling = backscatter_coefficient(6.0), backscatter_coefficient(17.5)
    contrast = (surface.signal[label][..., 0] - floor) / np.float32(ceiling - floor)
    zoned = contrast + 0.22 * surface.mottle[label] * (0.7 * scene.sway + 0.5 * scene.blotch)
    crack = np.exp(-((scene.blotch * 16) ** 2)) * (scene.coating > 0.3)
    cracked = 1 - np.clip(surface.crack[label] * crack, 0, 0.9)
    edge_um = scene.edge_px * np.float32(canvas.pixel_size_um)
    joint = 1 - 0.30 * np.exp(-((edge_um / 0.9) ** 2)) * (label > 0)
    signal: Field = np.maximum(zoned, 0) * cracked * joint * _intact(surface, scene)
    return np.clip(signal, 0, 1.15)[..., None]


def _intact(surface: Surface, scene: Scene) -> Field:
    """Return how much of the signal pits and opened cleavage leave (0..1)."""
    label = scene.label
    depth = 0.75 * scene.dots + 0.66 * scene.coating
    pit = np.clip(3 * (depth - surface.pit_level[label]), 0, 1)
    normal = surface.cleavage_normal[label]
    across = scene.x_px * normal[..., 0] + scene.y_px * normal[..., 1] + 950
    opened = look_up(surface.lines, 1, across) * np.clip(scene.coating, 0, 1)
    left: Field = (1 - _PIT_DEPTH * pit) * (1 - np.clip(surface.cleavage[label] * opened, 0, 0.9))
    return left


def _scratches(canvas: Canvas, surface: Surface, scene: Scene) -> Field:
    """Return the depth (0..1) of polishing scratches, which run across grains in a few directions."""
    label = scene.label
    depth = np.zeros(label.shape, np.float32)
    center = np.concatenate([np.zeros((1, 2)), canvas.packing.center_xy_px]).astype(np.float32)
    x, y = scene.x_px + center[:, 0][label], scene.y_px - center[:, 1][label]
    reach_px = np.float32(400 / canvas.pixel_size_um)
    for index, angle_deg in enumerate(_SCRATCH_SETS_DEG):
        cos, sin = np.float32(np.cos(np.deg2rad(angle_deg))), np.float32(np.sin(np.deg2rad(angle_deg)))
        across, along = x * cos + y * sin + 4096 * (index + 1), y * cos - x * sin
        ends = np.sin(along / reach_px + across / 37 + index) > 0.25
        depth = np.maximum(depth, look_up(surface.lines, 0, across) * ends)
    return depth

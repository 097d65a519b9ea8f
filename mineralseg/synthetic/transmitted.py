"""A thin section in polarised light: absorption, pleochroism, interference colours, relief."""

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.slide import Illumination
from mineralseg.synthetic.canvas import Canvas, Scene
from mineralseg.synthetic.crystals import TWIN_HABITS, Crystals
from mineralseg.synthetic.optics import CHART_STEP_NM, michel_levy_chart
from mineralseg.synthetic.texture import Field, look_up

_THICKNESS_SPREAD = 0.012
_POLAR_LEAK = 0.010
_STAIN = np.array([0.55, 1.0, 1.7], np.float32)


def crossed_polars(*, retardation_nm: Field, slow_from_polar_rad: Field, slow: Field, fast: Field) -> Field:
    """Return what crossed polars let through, linear RGB (..., 3) of the lamp.

    With amplitudes sqrt(slow), sqrt(fast) of the two rays, sin^2(2 psi) ((a - b)^2 / 4 + a b C), C the
    Michel-Levy colour of the retardation; equal absorption T gives the textbook T sin^2(2 psi) C.

    Args:
        retardation_nm: path difference of the rays (...).
        slow_from_polar_rad: angle psi of the slow ray from the polariser (...).
        slow: transmittance of the slow ray, linear RGB (..., 3).
        fast: transmittance of the fast ray.
    """
    chart = michel_levy_chart()
    step = np.minimum(retardation_nm * np.float32(1 / CHART_STEP_NM) + np.float32(0.5), len(chart) - 1)
    color = chart[step.astype(np.int32)]
    a, b = np.sqrt(slow), np.sqrt(fast)
    opening = np.sin(2 * slow_from_polar_rad) ** 2
    light: Field = opening[..., None] * (0.25 * (a - b) ** 2 + a * b * color)
    return light


def render_transmitted(canvas: Canvas, crystals: Crystals, scene: Scene, illumination: Illumination) -> Field:
    """Return the light (linear RGB, lamp = 1) that some rows of a section send to the eye, (h, W, 3).

    Args:
        canvas: the section.
        crystals: its optics.
        scene: the rows.
        illumination: PPL, or XPL; its angle turns the polars against the section.
    """
    polar_rad = np.float32(np.deg2rad(illumination.angle_deg or 0.0))
    label = scene.label
    individual = _individuals(crystals, scene)
    flecks = 0.7 * (scene.grit + scene.coating) - crystals.fleck_level[label]
    fleck = (flecks > 0).astype(np.float32)
    azimuth = crystals.azimuth_rad[label, individual] + crystals.undulosity_rad[label] * scene.sway
    azimuth += fleck * 6 * scene.coating
    from_polar = azimuth - polar_rad
    shade = np.exp(-_density(canvas, crystals, scene))
    slow = shade * np.exp(-crystals.slow_density[label, individual])
    fast = shade * np.exp(-crystals.fast_density[label, individual])
    along = (np.cos(from_polar) ** 2)[..., None]
    plane: Field = slow * along + fast * (1 - along)
    if illumination.modality == "PPL":
        return plane
    wedge = 1 - 0.7 * np.exp(-scene.edge_px * np.float32(canvas.pixel_size_um / 1.8))
    wedge *= 1 + np.float32(_THICKNESS_SPREAD) * scene.coating
    retardation = crystals.retardation_nm[label, individual] * wedge + fleck * 260
    crossed = crossed_polars(retardation_nm=retardation, slow_from_polar_rad=from_polar, slow=slow, fast=fast)
    return crossed + np.float32(_POLAR_LEAK) * plane


def _individuals(crystals: Crystals, scene: Scene) -> NDArray[np.intp]:
    """Return which individual of a twin (0 or 1) each pixel belongs to."""
    label, sway = scene.label, scene.sway
    habit, width = crystals.twin_habit[label], crystals.twin_width_px[label]
    crossed = habit == TWIN_HABITS.index("crossed")
    bend = crossed.astype(np.float32) * (np.float32(0.8) * sway + np.float32(0.15) * scene.coating)
    normal = crystals.twin_normal[label]
    across: Field = (scene.x_px * normal[..., 0] + scene.y_px * normal[..., 1]) / width + bend
    along: Field = (scene.y_px * normal[..., 0] - scene.x_px * normal[..., 1]) / (
        np.float32(1.4) * width
    ) + bend
    first = look_up(crystals.lamellae, habit, across + 700)
    second = look_up(crystals.lamellae, habit, along + 1200)
    chosen = np.where(crossed, np.abs(first - second), first)
    return np.where(np.isfinite(width), chosen, 0).astype(np.intp)


def _density(canvas: Canvas, crystals: Crystals, scene: Scene) -> Field:
    """Return the natural-log density that texture adds: clouds, specks, cleavage, outlines, coatings."""
    um = np.float32(canvas.pixel_size_um)
    label, coating = scene.label, scene.coating
    specks = np.clip(0.8 * scene.dots + 0.6 * coating - crystals.speck_level[label], 0, 1)
    grey = 2.2 * specks + _cleavage_density(crystals, scene)
    cracks = np.exp(-((scene.blotch * 14) ** 2)) * (coating > 0.2)
    grey += 0.9 * crystals.fracture[label] * cracks
    outline = np.exp(-((scene.edge_px * um / 1.6) ** 2)) * (0.75 + 0.35 * coating)
    grey += crystals.outline[label] * np.maximum(outline, 0)
    rim_um = np.maximum(3.0 + 3.5 * coating, 0.5)
    stain = crystals.stain[label] * np.exp(-scene.edge_px * um / rim_um) * np.maximum(0.35 + coating, 0)
    turbid = np.maximum(0.55 + 0.5 * scene.blotch + 0.35 * scene.grit, 0)
    density: Field = crystals.cloud[label] * turbid[..., None] + grey[..., None] + stain[..., None] * _STAIN
    return density


def _cleavage_density(crystals: Crystals, scene: Scene) -> Field:
    """Return the density of cleavage traces, broken where the coating pattern is low."""
    density = np.zeros(scene.label.shape, np.float32)
    broken = np.clip(0.8 + scene.coating, 0, 1)
    for plane in range(crystals.cleavage.shape[1]):
        across = crystals.cleavage[:, plane][scene.label]
        position = scene.x_px * across[..., 0] + scene.y_px * across[..., 1] + (900 + 311 * plane)
        density += across[..., 2] * look_up(crystals.lines, 0, position) * broken
    return density

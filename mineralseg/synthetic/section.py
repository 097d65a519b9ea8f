"""A synthetic section: pictures of a rock that never was, with everything about it known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import Legend
from mineralseg.core.slide import Illumination
from mineralseg.core.transforms import Transform
from mineralseg.errors import ConfigurationError
from mineralseg.synthetic import coarse_map
from mineralseg.synthetic.camera import Exposure, expose, resample
from mineralseg.synthetic.canvas import Canvas, Scene, build_canvas, scene_of
from mineralseg.synthetic.catalogue import assemblage_of
from mineralseg.synthetic.crystals import draw_crystals
from mineralseg.synthetic.polished import polish_for_beam, polish_ore, render_backscatter, render_reflected
from mineralseg.synthetic.rock import Rock
from mineralseg.synthetic.texture import Field
from mineralseg.synthetic.transmitted import render_transmitted

MIN_SIZE_PX, MAX_SIZE_PX = 64, 8192
MIN_GRAIN_PX = 6.0
MAX_SHIFT_PX, MAX_ROTATION_DEG = 3.0, 0.4
_STRIP_PX = 128

Renderer = Callable[[Scene, Illumination], Field]


@dataclass(frozen=True)
class Grain:
    """One grain as it shows in the section: `id` is its value in `grain_ids_HW`.

    `axis_deg` is the direction of its slow ray (transmitted light) or of its long side, counter-clockwise
    from right, 0..180; `ecd_um` the diameter of the circle of its area, cut by the frame or not.
    """

    id: int
    mineral: str
    area_px: int
    centroid_xy_px: tuple[float, float]
    axis_deg: float
    ecd_um: float


@dataclass(frozen=True)
class SyntheticSection:
    """A section with its truth.

    All truth lies in the fixed frame, that of the first illumination; `view_to_fixed` takes pixels of
    each view there, `coarse_map_to_fixed` pixels of the coarse map.

    Attributes:
        images: pictures by `str(illumination)`, uint8 (size, size, 3), of BSE (size, size, 1).
        classes_HW: class indices into `legend`, uint8.
        grain_ids_HW: `Grain.id` of each pixel, int32, 0 in pores.
        legend: the same for all rocks of a modality.
        view_to_fixed: transforms by `str(illumination)`, the identity for the first.
        grains: the grains that show, by id.
        modal_fraction: areal share by class name, counted from `classes_HW`.
        pixel_size_um: of the fixed frame.
        coarse_map_HWC: an SEM-like map in legend colours, uint8 RGB.
        coarse_map_to_fixed: its transform.
    """

    images: dict[str, NDArray[np.uint8]]
    classes_HW: NDArray[np.uint8]
    grain_ids_HW: NDArray[np.int32]
    legend: Legend
    view_to_fixed: dict[str, Transform]
    grains: tuple[Grain, ...]
    modal_fraction: dict[str, float]
    pixel_size_um: float
    coarse_map_HWC: NDArray[np.uint8]
    coarse_map_to_fixed: Transform


def render_section(
    rock: Rock,
    *,
    size_px: int,
    illuminations: Sequence[Illumination],
    pixel_size_um: float,
    rng: np.random.Generator,
    map_pixel_um: float = 10.0,
) -> SyntheticSection:
    """Return pictures and truth of a random section of a rock; the same `rng` state gives the same bytes.

    Cost and memory grow linearly with the number of pixels.

    Args:
        rock: its recipe.
        size_px: side of every view, 64 to 8192.
        illuminations: views to take, of the rock's modality; the first one is the fixed frame. The angle
            turns the polars, not the picture.
        pixel_size_um: micrometres per pixel; the median grain must span at least 6 pixels.
        rng: source of all randomness.
        map_pixel_um: pixel size of the coarse map.

    Raises:
        ConfigurationError: the size, the pixel size or the illuminations cannot be rendered.
    """
    _check(rock, size_px, illuminations, pixel_size_um)
    fixed = str(illuminations[0])
    scale = map_pixel_um / pixel_size_um
    canvas = build_canvas(
        rock,
        size_px=size_px,
        margin_px=int(np.ceil(coarse_map.reach_px(size_px, scale=scale) + 2 * MAX_SHIFT_PX)),
        pixel_size_um=pixel_size_um,
        rng=rng,
    )
    renderer, axes_rad = _renderer(canvas, rng)
    images, view_to_fixed = {}, {}
    for illumination in illuminations:
        view = str(illumination)
        view_to_fixed[view] = _displacement(view, fixed, size_px, rng)
        images[view] = _photograph(canvas, renderer, illumination, view_to_fixed[view], rng)
    classes = canvas.class_of_label[canvas.labels_HW]
    grid = coarse_map.draw_grid(rng, size_px=size_px, scale=scale, fixed=fixed)
    return SyntheticSection(
        images=images,
        classes_HW=np.ascontiguousarray(classes[canvas.frame]),
        grain_ids_HW=np.ascontiguousarray(canvas.labels_HW[canvas.frame]),
        legend=canvas.legend,
        view_to_fixed=view_to_fixed,
        grains=_grains(canvas, axes_rad),
        modal_fraction=_fractions(classes[canvas.frame], canvas.legend),
        pixel_size_um=pixel_size_um,
        coarse_map_HWC=coarse_map.scan_map(
            classes,
            grid,
            canvas.legend,
            margin_px=canvas.margin_px,
            pixel_size_um=pixel_size_um,
            rng=rng,
        ),
        coarse_map_to_fixed=grid.map_to_fixed,
    )


def _check(rock: Rock, size_px: int, illuminations: Sequence[Illumination], pixel_size_um: float) -> None:
    """Raise `ConfigurationError` if the section cannot be rendered."""
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise ConfigurationError(
            "synthetic section", found=f"size {size_px} px", expected=f"{MIN_SIZE_PX} to {MAX_SIZE_PX} px"
        )
    if not 0 < pixel_size_um * MIN_GRAIN_PX <= rock.grain_um:
        raise ConfigurationError(
            "synthetic section",
            found=f"{pixel_size_um} um/px for grains of {rock.grain_um:.0f} um",
            expected=f"a pixel size up to {rock.grain_um / MIN_GRAIN_PX:.3g} um/px",
            fix="use a smaller pixel size or a coarser rock",
        )
    names = [str(illumination) for illumination in illuminations]
    views = assemblage_of(rock.modality).views
    if not names or len(set(names)) < len(names) or any(i.modality not in views for i in illuminations):
        raise ConfigurationError(
            "synthetic section",
            found=f"illuminations {', '.join(names) or 'none'}",
            expected=f"one or more of {', '.join(views)} for {rock.modality}, each once",
        )


def _renderer(canvas: Canvas, rng: np.random.Generator) -> tuple[Renderer, NDArray[np.float64]]:
    """Return what paints rows of a canvas, and the axis of every label in radians."""
    long_side = np.concatenate([np.zeros(1), canvas.packing.angle_rad])
    match canvas.rock.modality:
        case "RL":
            return partial(render_reflected, canvas, polish_ore(canvas, rng)), long_side
        case "BSE":
            return partial(render_backscatter, canvas, polish_for_beam(canvas, rng)), long_side
        case _:
            crystals = draw_crystals(canvas, rng)
            return partial(render_transmitted, canvas, crystals), crystals.azimuth_rad[:, 0].astype(float)


def _displacement(view: str, fixed: str, size_px: int, rng: np.random.Generator) -> Transform:
    """Return the small misalignment of a view, none for the fixed one."""
    if view == fixed:
        return Transform(np.eye(3), view, fixed)
    middle = (size_px - 1) / 2
    length, heading = MAX_SHIFT_PX * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    return Transform.similarity(
        view,
        fixed,
        rotation_deg=float(rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG)),
        scale=1.0,
        shift_xy_px=(float(length * np.cos(heading)), float(length * np.sin(heading))),
        centre_xy_px=(middle, middle),
    )


def _photograph(
    canvas: Canvas,
    renderer: Renderer,
    illumination: Illumination,
    view_to_fixed: Transform,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the picture of a view: clean light, displaced by the camera, exposed with noise."""
    exposure = _draw_exposure(illumination.modality, rng)
    strips = [
        renderer(scene_of(canvas, slice(start, start + _STRIP_PX)), illumination).astype(np.float16)
        for start in range(0, canvas.side_px, _STRIP_PX)
    ]
    onto_canvas = np.eye(3)
    onto_canvas[:2, 2] = canvas.margin_px
    view = resample(
        np.concatenate(strips),
        view_to_canvas=Transform(onto_canvas, view_to_fixed.target, "canvas") @ view_to_fixed,
        size_px=canvas.side_px - 2 * canvas.margin_px,
        blur_px=exposure.blur_px,
    )
    return expose(view, exposure, rng)


def _draw_exposure(modality: str, rng: np.random.Generator) -> Exposure:
    """Return camera settings as they vary from picture to picture."""
    tint = rng.normal(0, 0.012, 3)
    gains = {
        "PPL": np.array([0.80, 0.785, 0.765]) + tint,
        "XPL": np.array([1.12, 1.12, 1.12]) + tint,
        "RL": np.array([1.55, 1.53, 1.50]) + tint,
        "BSE": np.array([0.80]),
    }
    gain = gains[modality] * rng.uniform(0.93, 1.07)
    return Exposure(
        gain=tuple(gain.tolist()),
        blur_px=float(rng.uniform(0.55, 0.9)),
        falloff=0.02 if modality == "BSE" else float(rng.uniform(0.06, 0.16)),
        lamp_center=(float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.4, 0.6))),
        electrons=700.0 if modality == "BSE" else 6000.0,
        read_noise=0.012 if modality == "BSE" else 0.002,
        black=0.05 if modality == "BSE" else 0.001,
        srgb=modality != "BSE",
    )


def _grains(canvas: Canvas, axes_rad: NDArray[np.float64]) -> tuple[Grain, ...]:
    """Return the grains that show in the frame, measured on the label map."""
    labels = canvas.labels_HW[canvas.frame]
    count = len(canvas.class_of_label)
    area = np.bincount(labels.ravel(), minlength=count)
    sum_x, sum_y = np.zeros(count), np.zeros(count)
    across = np.arange(labels.shape[1], dtype=np.float64)
    for y, row in enumerate(labels):
        sum_x += np.bincount(row, across, count)
        sum_y += y * np.bincount(row, minlength=count)
    return tuple(
        Grain(
            id=label,
            mineral=canvas.legend.names[canvas.class_of_label[label]],
            area_px=int(area[label]),
            centroid_xy_px=(float(sum_x[label] / area[label]), float(sum_y[label] / area[label])),
            axis_deg=float(np.rad2deg(axes_rad[label]) % 180),
            ecd_um=float(2 * np.sqrt(area[label] / np.pi) * canvas.pixel_size_um),
        )
        for label in np.flatnonzero(area).tolist()
        if label > 0
    )


def _fractions(classes_HW: NDArray[np.uint8], legend: Legend) -> dict[str, float]:
    """Return the areal share of every class."""
    counts = np.bincount(classes_HW.ravel(), minlength=len(legend))
    return dict(zip(legend.names, (counts / classes_HW.size).tolist(), strict=True))

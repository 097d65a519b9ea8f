"""Register: one loose image, or mineral map, on another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import CoarseMap
from mineralseg.core.geometry import PixelSize
from mineralseg.core.registration import Registration
from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.imaging.features import describe
from mineralseg.imaging.view_quality import fault_of_view
from mineralseg.imaging.view_registration import Prior, register_view
from mineralseg.io.files import writing
from mineralseg.io.raster import RasterInfo, open_raster, probe
from mineralseg.io.raster_writer import TILE_PX, RasterSpec, raster_writer, write_png
from mineralseg.stages.map_placement import map_on_grid, place_map
from mineralseg.stages.marked_places import register_marked_places
from mineralseg.stages.pictures import picture_of_map, picture_of_views
from mineralseg.stages.registering import (
    NOT_TRIED,
    gated,
    read_reduced,
    search_factor,
    to_files,
    write_view_on_grid,
)

_MAP_ROTATION_DEG = 5.0
_MAP_RESIDUAL_MAP_PX = 1.0
_MAP_PEAK_RATIO = 2.0
_VIEW_RESIDUAL_PX = 2.0
_MAX_MAP_COLORS = 254
_MOST_MAP_UM, _MOST_RESIDUAL_MAP_PX = 1000.0, 10.0
_FIXED, _MOVING = "fixed", "moving"


@dataclass(frozen=True)
class Pair:
    """Two files, what the second is, places marked by a person, and um per pixel if files are silent."""

    fixed: Path
    moving: Path
    is_map: bool
    landmarks: Path | None
    fixed_um: float | None
    moving_um: float | None


@dataclass(frozen=True)
class PairLimits:
    """What is looked for, and what is accepted; None stands for what views or maps usually need."""

    max_rotation_deg: float | None
    max_scale_change: float
    max_residual_px: float | None
    min_score: float


def register_pair(
    pair: Pair, limits: PairLimits, *, out: Path | None, picture: Path | None, overwrite: bool, dry_run: bool
) -> Registration:
    """Return how `pair.moving` lies on `pair.fixed`, in pixels of the files; write it there if asked.

    Args:
        pair: the files.
        limits: what is looked for, and what is accepted.
        out: TIFF of the moving image on the fixed grid: views interpolated, maps by nearest neighbour.
        picture: PNG to judge the registration by; written of a refused one too.
        overwrite: replace files that are there.
        dry_run: measure only.

    Raises:
        ConfigurationError: an output is there already, or is one of the inputs.
        DataFault: a file is not usable, or a map has no scale.
    """
    outputs = [path for path in (out, picture) if path is not None]
    _check_outputs(pair, outputs, overwrite=overwrite)
    fixed, moving = probe(pair.fixed), probe(pair.moving)
    if not dry_run:
        for path in outputs:  # what is left after a refusal must not be of another pair
            with writing(path):
                path.unlink(missing_ok=True)
    found = _map_on(pair, limits, fixed, moving) if pair.is_map else _view_on(pair, limits, fixed, moving)
    if dry_run or found.moving_to_fixed is None:
        return found
    if picture is not None:
        write_png(picture, _picture(pair, found))
    if out is not None and found.verdict == "accepted":
        pixel_size = PixelSize.declared(pair.fixed_um) if pair.fixed_um else fixed.pixel_size
        if pair.is_map:
            _write_map(pair.moving, found, fixed, pixel_size, out)
        else:
            write_view_on_grid(
                pair.moving, found.warp, out=out, size_px=(fixed.height, fixed.width), pixel_size=pixel_size
            )
    return found


def _picture(pair: Pair, found: Registration) -> NDArray[np.uint8]:
    if not pair.is_map:
        return picture_of_views(pair.fixed, pair.moving, found, names=(pair.fixed.stem, pair.moving.stem))
    numbers_HW, colors = _numbered(pair.moving)
    return picture_of_map(pair.fixed, numbers_HW, found, colors)


def _view_on(pair: Pair, limits: PairLimits, fixed: RasterInfo, moving: RasterInfo) -> Registration:
    fixed_um, moving_um = pair.fixed_um or fixed.pixel_size.um, pair.moving_um or moving.pixel_size.um
    scale = None if fixed_um is None or moving_um is None else moving_um / fixed_um
    if pair.landmarks is not None:
        marked = register_marked_places(
            pair.landmarks,
            moving_size_px=(moving.width, moving.height),
            fixed_size_px=(fixed.width, fixed.height),
            scale=scale,
            max_scale_change=limits.max_scale_change,
            frames=(_MOVING, _FIXED),
        )
        return gated(marked, max_residual_px=limits.max_residual_px or _VIEW_RESIDUAL_PX, min_score=0.0)
    paths = {_FIXED: pair.fixed, _MOVING: pair.moving}
    views = {name: read_reduced(path, factor=search_factor(path)) for name, path in paths.items()}
    for name, path in paths.items():
        fault = fault_of_view(views[name].image_HWC)
        if fault:
            return Registration("refused", f"{path.name}: {fault}", NOT_TRIED)
    prior = Prior(
        rotation_deg=None if limits.max_rotation_deg is None else 0.0,
        max_rotation_deg=limits.max_rotation_deg or 180.0,
        scale=(scale or 1.0) * views[_MOVING].factor / views[_FIXED].factor,
        max_scale_change=limits.max_scale_change,
    )
    found = register_view(
        describe(views[_FIXED].image_HWC),
        describe(views[_MOVING].image_HWC),
        prior=prior,
        frames=(_MOVING, _FIXED),
    )
    return gated(
        to_files(found, views, paths, prior=prior),
        max_residual_px=limits.max_residual_px or _VIEW_RESIDUAL_PX,
        min_score=limits.min_score,
    )


def _map_on(pair: Pair, limits: PairLimits, fixed: RasterInfo, moving: RasterInfo) -> Registration:
    fixed_um, map_um = pair.fixed_um or fixed.pixel_size.um, pair.moving_um or moving.pixel_size.um
    if fixed_um is None or map_um is None:
        name, option = (pair.fixed, "--pixel-um") if fixed_um is None else (pair.moving, "--moving-um")
        raise DataFault(name, found="an unknown pixel size", expected="um per pixel", fix=f"state {option}")
    map_px = map_um / fixed_um
    if not 1 <= map_px <= min(fixed.height, fixed.width) or map_um > _MOST_MAP_UM:
        raise DataFault(
            pair.moving,
            found=f"a map of {map_um:g} um/px on an image of {fixed_um:g} um/px",
            expected="a map coarser than the image, with pixels smaller than all of it",
            fix="correct --moving-um or --pixel-um",
        )
    if limits.max_residual_px is None:
        max_residual_map_px = _MAP_RESIDUAL_MAP_PX
    else:
        max_residual_map_px = min(limits.max_residual_px / map_px, _MOST_RESIDUAL_MAP_PX)
    fault = fault_of_view(read_reduced(pair.fixed, factor=search_factor(pair.fixed)).image_HWC)
    if fault and pair.landmarks is None:
        return Registration("refused", f"{pair.fixed.name}: {fault}", NOT_TRIED)
    return place_map(
        _numbered(pair.moving)[0],
        {_FIXED: pair.fixed},
        map_px=map_px,
        placement=CoarseMap(
            kind="coarse_map",
            map_pixel_um=map_um,
            flips=True,
            max_rotation_deg=min(limits.max_rotation_deg or _MAP_ROTATION_DEG, 45.0),
            max_scale_change=min(limits.max_scale_change, 0.2),
            refine="bspline",
            min_peak_ratio=_MAP_PEAK_RATIO,
            max_residual_map_px=max_residual_map_px,
            min_area_map_px=1,
            void_band=0.0,
            when_refused="stop",
        ),
        landmarks=pair.landmarks,
    )


def _numbered(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a number for every colour of a map (H, W), and the colours by number (n, 3).

    Raises:
        DataFault: more colours than a map of minerals has, as after smoothing or JPEG compression.
    """
    with open_raster(path) as raster:
        pixels_HWB = raster.read_all()
    rgb_HWC = np.broadcast_to(pixels_HWB, (*pixels_HWB.shape[:2], 3)).astype(np.uint32)
    packed_HW = (rgb_HWC[..., 0] << 16) | (rgb_HWC[..., 1] << 8) | rgb_HWC[..., 2]
    found, numbers = np.unique(packed_HW, return_inverse=True)
    if len(found) > _MAX_MAP_COLORS:
        raise DataFault(
            path,
            found=f"{len(found)} colours",
            expected=f"at most {_MAX_MAP_COLORS}, one a mineral",
            fix="export the map without smoothing and as PNG or TIFF, not JPEG",
        )
    colors = np.stack([found >> 16, found >> 8 & 0xFF, found & 0xFF], axis=1).astype(np.uint8)
    return numbers.reshape(packed_HW.shape).astype(np.uint8), colors


def _write_map(path: Path, found: Registration, fixed: RasterInfo, pixel_size: PixelSize, out: Path) -> None:
    """Write a map's own colours on the fixed grid, black beyond its edge."""
    numbers_HW, colors = _numbered(path)
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    placed_HW = map_on_grid(numbers_HW, found, size_px=(fixed.height, fixed.width))
    spec = RasterSpec(fixed.height, fixed.width, 3, pixel_size=pixel_size)
    with raster_writer(out, spec=spec) as target:
        for row in range(0, fixed.height, TILE_PX):
            target.write(table[placed_HW[row : row + TILE_PX]], row=row)


def _check_outputs(pair: Pair, outputs: Sequence[Path], *, overwrite: bool) -> None:
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise ConfigurationError(
            outputs[0], found="both --out and --picture", expected="two files", fix="choose another"
        )
    inputs = {path.resolve() for path in (pair.fixed, pair.moving, pair.landmarks) if path is not None}
    for path in outputs:
        if path.resolve() in inputs:
            raise ConfigurationError(path, found="an input", expected="another file", fix="choose another")
        if path.is_dir() or (path.exists() and not overwrite):
            found = "a folder" if path.is_dir() else "a file that is there already"
            raise ConfigurationError(
                path, found=found, expected="a new file", fix="choose another, or --overwrite"
            )

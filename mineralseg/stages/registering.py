"""Views in files brought on the grid of one of them: found at reduced resolution, resampled at full.

Memory does not grow with the images: the search sees at most `SEARCH_PX` pixels of a view, and the
resampling reads each view from a plain array on disk and writes it a strip at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import AlignByRegistration
from mineralseg.core.geometry import PixelSize, Window, strips
from mineralseg.core.registration import Registration, Warp
from mineralseg.core.slide import Illumination
from mineralseg.core.transforms import Transform
from mineralseg.imaging.features import describe
from mineralseg.imaging.resample import area_mean
from mineralseg.imaging.view_quality import fault_of_names, fault_of_view
from mineralseg.imaging.view_registration import Prior
from mineralseg.imaging.view_series import register_series
from mineralseg.imaging.warp import resample_window
from mineralseg.io.arrays import create_array, open_array
from mineralseg.io.files import scratch_folder
from mineralseg.io.raster import open_raster, probe
from mineralseg.io.raster_writer import TILE_PX, RasterSpec, raster_writer
from mineralseg.stages.file_pixels import at_file_pixels

SEARCH_PX = 2_500_000
"""Most pixels of a view that features are looked for in."""

NOT_TRIED = "not tried"
"""Method of a registration that was refused before anything was looked for."""

VALID_NAME = "valid.tif"
"""255 where every view of a sample has pixels, 0 elsewhere."""


@dataclass(frozen=True)
class ReducedView:
    """A view for the search: means of blocks of `factor` pixels a side, uint8 (h, w, bands)."""

    image_HWC: NDArray[np.uint8]
    factor: int

    def to_native(self, frame: str) -> Transform:
        """Return the transform from these pixels to those of the file."""
        return replace(Transform.reduction(frame, factor=self.factor), source=frame)


def read_reduced(path: Path, *, factor: int) -> ReducedView:
    """Return a view as means of blocks of `factor` pixels a side; the file is read a strip at a time."""
    with open_raster(path) as raster:
        means = [
            area_mean(raster.read(window), factor=factor)
            for window in strips((raster.height, raster.width), rows=factor * max(TILE_PX // factor, 1))
        ]
    return ReducedView(np.concatenate(means), factor)


def search_factor(path: Path) -> int:
    """Return by how much a view is reduced for the search for features."""
    info = probe(path)
    return max(1, int(np.ceil(np.sqrt(info.height * info.width / SEARCH_PX))))


def register_views(
    paths: Mapping[str, Path],
    *,
    reference: str,
    align: AlignByRegistration,
    pixel_um: Mapping[str, float | None],
) -> dict[str, Registration]:
    """Return how each view but the reference lies on it, in native pixels, gates applied.

    Args:
        paths: files by illumination.
        reference: the view whose grid is kept.
        align: what is known beforehand, and the gates.
        pixel_um: micrometres per pixel by illumination, None where unknown.

    Raises:
        DataFault: a file is unreadable.
    """
    views = {name: read_reduced(path, factor=search_factor(path)) for name, path in paths.items()}
    faults = _faults_of_views(views, reference)
    sound = {name: view for name, view in views.items() if name not in faults}
    results = {
        name: Registration("refused", faults[name if name in faults else reference], NOT_TRIED)
        for name in paths
        if name != reference and (name in faults or reference in faults)
    }
    if reference in faults or len(sound) < 2:
        return results
    priors = {name: _prior(name, reference, align, pixel_um, views) for name in sound if name != reference}
    described = {name: describe(view.image_HWC) for name, view in sound.items()}
    found = register_series(described, reference=reference, priors=priors)
    for name, each in found.items():
        on_files = to_files(each, views, paths, prior=priors[name])
        results[name] = gated(on_files, max_residual_px=align.max_residual_px, min_score=align.min_score)
    return results


def to_files(
    found: Registration, views: Mapping[str, ReducedView], paths: Mapping[str, Path], *, prior: Prior
) -> Registration:
    """Return a registration of reduced views as one of their files, fitted anew there if they were reduced.

    Args:
        found: its frames are names of views.
        views: the reduced views by name.
        paths: their files.
        prior: what was known of the reduced views.
    """
    if found.moving_to_fixed is None:
        return found
    of_moving, of_fixed = found.moving_to_fixed.source, found.moving_to_fixed.target
    fixed, moving = views[of_fixed], views[of_moving]
    lifted = fixed.to_native(of_fixed) @ found.moving_to_fixed @ moving.to_native(of_moving).inverse()
    residual_px = None if found.residual_px is None else found.residual_px * fixed.factor
    native = replace(found, moving_to_fixed=lifted, residual_px=residual_px)
    if fixed.factor == moving.factor == 1:
        return native
    return at_file_pixels(
        native, paths[of_fixed], paths[of_moving], prior=prior.scaled(fixed.factor / moving.factor)
    )


def gated(found: Registration, *, max_residual_px: float, min_score: float) -> Registration:
    """Return a registration, refused if its residual or its score does not pass."""
    if found.residual_px is None or found.verdict == "refused":
        return found
    if found.residual_px > max_residual_px:
        reason = f"matched places lie {found.residual_px:.2f} px apart, more than {max_residual_px:g}"
        return replace(found, verdict="refused", reason=reason)
    if found.score < min_score:
        reason = f"score {found.score:.2f} is below {min_score:g}: it may be chance"
        return replace(found, verdict="refused", reason=reason)
    return found


def write_on_grid(
    paths: Mapping[str, Path],
    warps: Mapping[str, Warp],
    *,
    reference: str,
    folder: Path,
    pixel_size: PixelSize,
) -> dict[str, float]:
    """Write <view>.tif of all views on the reference's grid, and valid.tif; return what each covers (0..1).

    The reference is copied bit for bit; pixels that a view does not have are 0.
    """
    with open_raster(paths[reference]) as fixed:
        size_px, bands = (fixed.height, fixed.width), fixed.bands
        with raster_writer(folder / f"{reference}.tif", spec=_spec(size_px, bands, pixel_size)) as target:
            for strip in strips(size_px, rows=TILE_PX):
                target.write(fixed.read(strip), row=strip.row)
    missing_px = dict.fromkeys(warps, 0)
    with scratch_folder(folder) as scratch, create_array(scratch / "missing.npy", size_px) as missing_HW:
        for name, warp in warps.items():
            for strip, inside in _written_on_grid(
                paths[name], warp, folder / f"{name}.tif", size_px=size_px, pixel_size=pixel_size
            ):
                missing_HW[strip.slices] |= ~inside
                missing_px[name] += int(np.count_nonzero(~inside))
        with raster_writer(folder / VALID_NAME, spec=_spec(size_px, 1, pixel_size)) as valid:
            for strip in strips(size_px, rows=TILE_PX):
                missing = missing_HW[strip.slices] > 0
                valid.write(np.where(missing, np.uint8(0), np.uint8(255)), row=strip.row)
    total_px = size_px[0] * size_px[1]
    return {name: 1 - count / total_px for name, count in missing_px.items()}


def write_view_on_grid(
    path: Path, warp: Warp, *, out: Path, size_px: tuple[int, int], pixel_size: PixelSize
) -> None:
    """Write one view on a grid of `size_px` (height, width), 0 where it has no pixels."""
    for _ in _written_on_grid(path, warp, out, size_px=size_px, pixel_size=pixel_size):
        pass


def _written_on_grid(
    path: Path, warp: Warp, out: Path, *, size_px: tuple[int, int], pixel_size: PixelSize
) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
    """Write one view on a grid, yielding each strip and where in it the view has pixels."""
    with scratch_folder(out.absolute().parent) as scratch:
        source = _mapped(path, scratch / "view.npy")
        with raster_writer(out, spec=_spec(size_px, int(source.shape[2]), pixel_size)) as target:
            for strip in strips(size_px, rows=TILE_PX):
                pixels, inside = resample_window(source, warp, strip)
                target.write(pixels, row=strip.row)
                yield strip, inside


def _spec(size_px: tuple[int, int], bands: int, pixel_size: PixelSize) -> RasterSpec:
    return RasterSpec(size_px[0], size_px[1], bands, pixel_size=pixel_size)


def _faults_of_views(views: Mapping[str, ReducedView], reference: str) -> dict[str, str]:
    """Return what is wrong with single views, and which seem to have changed names."""
    faults = {}
    for name, view in views.items():
        found = fault_of_view(view.image_HWC)
        if found:
            faults[name] = found
    crossed = [name for name in views if Illumination.parse(name).modality == "XPL"]
    plane = [name for name in views if Illumination.parse(name).modality == "PPL"]
    for name in crossed:
        if plane and not faults.keys() & {name, plane[0]}:
            found = fault_of_names(plane_HWC=views[plane[0]].image_HWC, crossed_HWC=views[name].image_HWC)
            if found:
                faults[name if plane[0] == reference else plane[0]] = found
    return faults


def _prior(
    name: str,
    reference: str,
    align: AlignByRegistration,
    pixel_um: Mapping[str, float | None],
    views: Mapping[str, ReducedView],
) -> Prior:
    """Return what the names and pixel sizes say of a view on the reference, in reduced pixels."""
    angle_deg = (Illumination.parse(name).angle_deg or 0.0) - (Illumination.parse(reference).angle_deg or 0.0)
    match align.turned:
        case "polars":
            rotation_deg = 0.0
        case "stage_clockwise":
            rotation_deg = angle_deg
        case "stage_counterclockwise":
            rotation_deg = -angle_deg
    moving_um, fixed_um = pixel_um[name], pixel_um[reference]
    scale = 1.0 if moving_um is None or fixed_um is None else moving_um / fixed_um
    return Prior(
        rotation_deg=rotation_deg,
        max_rotation_deg=align.max_rotation_deg,
        scale=scale * views[name].factor / views[reference].factor,
        max_scale_change=align.max_scale_change,
    )


def _mapped(path: Path, array: Path) -> NDArray[np.uint8]:
    """Return all pixels of an image, mapped from a plain array that is written next to the results."""
    with (
        open_raster(path) as raster,
        create_array(array, (raster.height, raster.width, raster.bands)) as pixels,
    ):
        for window in strips((raster.height, raster.width), rows=TILE_PX):
            pixels[window.slices] = raster.read(window)
    return open_array(array)

"""Everything that can be wrong with a data set, found before any work: one pass, all faults."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mineralseg.config.data import AlignByRegistration, AlignIdentity, CoarseMap, OnGrid
from mineralseg.config.params import Params
from mineralseg.core.geometry import PixelSize, strips
from mineralseg.core.legend import histogram
from mineralseg.core.slide import Illumination, ImageFile, Slide
from mineralseg.core.split import SampleRow
from mineralseg.errors import DataFault, MineralsegError
from mineralseg.io.files import sha256_file
from mineralseg.io.raster import RasterInfo, open_raster
from mineralseg.io.samples import SampleFolder
from mineralseg.stages.masks import MaskReader

_STRIP_PX = 512


@dataclass(frozen=True)
class Inspection:
    """The sound samples, and the faults of the others."""

    slides: tuple[Slide, ...]
    faults: tuple[MineralsegError, ...]


def compare_names(found: Iterable[str], listed: Iterable[str], *, table: str) -> Iterator[MineralsegError]:
    """Yield a fault for every sample that is only on disk or only in the table, near misses by case named."""
    on_disk, in_table = set(found), set(listed)
    by_folded = {name.casefold(): name for name in on_disk - in_table}
    for name in sorted(in_table - on_disk):
        twin = by_folded.pop(name.casefold(), None)
        if twin is None:
            yield DataFault(
                f"sample {name}",
                found=f"listed in {table}, but no such folder",
                expected=f"a folder {name}/ with image/ and label/",
                fix="add it or remove the row",
            )
        else:
            yield DataFault(
                f"sample {name}",
                found=f"the folder is called {twin}",
                expected=f"the same letters in {table} and on disk",
                fix="rename one; names are case-sensitive",
            )
    for name in sorted(by_folded.values()):
        yield DataFault(
            f"sample {name}",
            found=f"on disk, but not in {table}",
            expected="a row of its own",
            fix=f"add it to {table} with its specimen",
        )


def inspect_samples(
    folders: Sequence[SampleFolder],
    rows: Sequence[SampleRow],
    *,
    wanted: Sequence[str],
    root: Path,
    inspect_one: Callable[[SampleFolder, SampleRow], Slide],
) -> Inspection:
    """Return the slides that are sound and every fault of the rest.

    Args:
        folders: what lies on disk.
        rows: what samples.csv lists.
        wanted: illuminations that every sample must have.
        root: of the raw data, for messages.
        inspect_one: reads one sample that is complete by name (see `inspect_slide`).
    """
    faults: list[MineralsegError] = list(
        compare_names((folder.name for folder in folders), (row.sample for row in rows), table="samples.csv")
    )
    by_sample = {row.sample: row for row in rows}
    slides: list[Slide] = []
    for folder in folders:
        row = by_sample.get(folder.name, SampleRow(folder.name, folder.name))
        missing = list(_faults_of_names(folder, wanted, root))
        faults += missing
        if not missing:
            try:
                slides.append(inspect_one(folder, row))
            except MineralsegError as fault:
                faults.append(fault)
    faults += _faults_of_bands(slides)
    faults += _faults_of_specimens(slides)
    return Inspection(tuple(slides), tuple(faults))


def inspect_slide(
    folder: SampleFolder, row: SampleRow, *, params: Params, masks: MaskReader, root: Path
) -> Slide:
    """Return the slide of one complete folder after decoding all of its files.

    Raises:
        DataFault: a file is unreadable, sizes differ that must not, or the mask holds what no class is.
    """
    infos = {
        name: (path, _read_through(path))
        for name in params.data.illuminations
        for path in folder.views[Illumination.parse(name)][:1]
    }
    views = {name: _image_file(path, info, root) for name, (path, info) in infos.items()}
    sizes = {name: info.pixel_size for name, (_, info) in infos.items()}
    mask_path = folder.labels[0]
    label = _image_file(mask_path, masks.check(mask_path), root)
    match params.align:
        case AlignIdentity():
            reference = row.reference or params.data.illuminations[0]
            pixel_size = _pixel_size(row, list(sizes.values()))
        case AlignByRegistration():
            reference = row.reference or params.align.reference
            pixel_size = _pixel_size(row, [sizes[reference]] if reference in sizes else [])
    slide = Slide(folder.name, row.specimen, reference, views, label, pixel_size)
    if isinstance(params.align, AlignIdentity):
        slide.require_views_on_one_grid()
    match params.labels.placement:
        case OnGrid():
            slide.require_label_on_grid()
        case CoarseMap() as placement:
            map_scale(slide, placement)
    return slide


def map_scale(slide: Slide, placement: CoarseMap) -> float:
    """Return how many pixels of the reference view a pixel of the sample's map spans.

    Raises:
        DataFault: a pixel size is unknown, or the map is finer than the image.
    """
    label, um = slide.label, slide.pixel_size.um
    map_um = placement.map_pixel_um or (None if label is None else label.pixel_um)
    if map_um is None or um is None:
        what, where = ("map", "labels.placement.map_pixel_um") if um is not None else ("image", "samples.csv")
        raise DataFault(
            f"sample {slide.sample}",
            found=f"the pixel size of the {what} is unknown",
            expected="um per pixel of image and map, or the search has no scale",
            fix=f"state it in {where}",
        )
    if map_um < um:
        raise DataFault(
            f"sample {slide.sample}",
            found=f"a map of {map_um:g} um/px on an image of {um:g} um/px",
            expected="a map that is coarser than the image",
            fix="correct the pixel sizes; a mask at the image's size is labels.placement.kind: on_grid",
        )
    return map_um / um


def _image_file(path: Path, info: RasterInfo, root: Path) -> ImageFile:
    return ImageFile(
        path.relative_to(root).as_posix(),
        sha256_file(path),
        info.height,
        info.width,
        info.bands,
        info.pixel_size.um,
    )


def _read_through(path: Path) -> RasterInfo:
    """Return size and bands of an image after decoding all of it, a strip at a time."""
    with open_raster(path) as raster:
        for window in strips((raster.height, raster.width), rows=_STRIP_PX):
            raster.read(window)
        return RasterInfo(raster.height, raster.width, raster.bands, raster.pixel_size)


def counts_of(indices_HW: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", classes: int) -> list[int]:
    """Return pixels by class index."""
    return [int(count) for count in histogram(indices_HW)[:classes]]


def _faults_of_names(folder: SampleFolder, wanted: Sequence[str], root: Path) -> Iterator[MineralsegError]:
    """Yield what the names in one folder leave out or say twice."""
    for path in folder.unnamed:
        yield DataFault(
            path.relative_to(root),
            found="a name without an illumination",
            expected="<anything>_PPL, _XPL40, _RL or _BSE before the suffix",
            fix="rename it",
        )
    for illumination, paths in folder.views.items():
        if len(paths) > 1:
            yield DataFault(
                f"sample {folder.name}",
                found=f"{illumination} is there {len(paths)} times "
                f"({', '.join(path.name for path in paths)})",
                expected="one file a view",
            )
    have = {str(illumination) for illumination in folder.views}
    for name in wanted:
        if name not in have:
            yield DataFault(
                f"sample {folder.name}",
                found=f"view {name} is missing",
                expected=f"{', '.join(wanted)} (data.illuminations)",
                fix=f"add it to {folder.name}/image/; there is {', '.join(sorted(have)) or 'nothing'}",
            )
    if len(folder.labels) != 1:
        found = "no mask" if not folder.labels else f"{len(folder.labels)} masks"
        yield DataFault(f"sample {folder.name}", found=f"{found} in label/", expected="one mask")


def _faults_of_bands(slides: Sequence[Slide]) -> Iterator[MineralsegError]:
    """Yield a fault where a view has another number of bands than in the first sample."""
    for slide in slides[1:]:
        for name, image in slide.views.items():
            usual = slides[0].views[name].bands
            if image.bands != usual:
                yield DataFault(
                    f"sample {slide.sample}",
                    found=f"{name} has {image.bands} band(s)",
                    expected=f"{usual} as in sample {slides[0].sample}",
                    fix="export all samples alike, in colour or in grey",
                )


def _faults_of_specimens(slides: Sequence[Slide]) -> Iterator[MineralsegError]:
    """Yield what would let one rock lie on two sides of a split under two names."""
    spelled: dict[str, str] = {}
    owner: dict[str, Slide] = {}
    for slide in slides:
        usual = spelled.setdefault(slide.specimen.casefold(), slide.specimen)
        if usual != slide.specimen:
            yield DataFault(
                f"sample {slide.sample}",
                found=f"specimen {slide.specimen}, and {usual} elsewhere",
                expected="one spelling a specimen",
                fix="correct samples.csv",
            )
        for name, image in slide.views.items():
            first = owner.setdefault(image.sha256, slide)
            if first.specimen.casefold() != slide.specimen.casefold():
                yield DataFault(
                    f"sample {slide.sample}",
                    found=f"{name} is the very image of sample {first.sample}, of another specimen",
                    expected="each field once, or under its specimen",
                    fix="remove one, or give both the same specimen in samples.csv",
                )


def _pixel_size(row: SampleRow, from_files: Sequence[PixelSize]) -> PixelSize:
    """Return what a person declared, else what the files agree on, else unknown."""
    if row.pixel_size_um is not None:
        return PixelSize.declared(row.pixel_size_um)
    stated = [size for size in from_files if size.um is not None]
    sizes_um = [size.um for size in stated if size.um is not None]
    if sizes_um and max(sizes_um) > 1.01 * min(sizes_um):
        raise DataFault(
            f"sample {row.sample}",
            found=f"views of {' and '.join(f'{um:g}' for um in sorted(set(sizes_um)))} um/px",
            expected="one pixel size",
            fix="export the views alike, or state pixel_size_um in samples.csv",
        )
    return stated[0] if stated else PixelSize.unknown()

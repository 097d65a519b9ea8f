"""What a training run sees: the samples of its parts, at working resolution, and what identifies them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import DataSection
from mineralseg.core.geometry import Window
from mineralseg.core.progress import Progress
from mineralseg.core.slide import Slide
from mineralseg.core.split import Part, Split
from mineralseg.data.working import WorkingSlide, open_working_copy, write_working_copy
from mineralseg.errors import DataFault
from mineralseg.io.files import sweep
from mineralseg.io.raster import read_mask
from mineralseg.models.bundle import ViewSpec
from mineralseg.stages.per_sample import content_key, read_record
from mineralseg.stages.views import open_views
from mineralseg.stages.workspace import LABEL_NAME, Workspace


@dataclass(frozen=True)
class SampleFiles:
    """The finished files of one sample: aligned views, labels, and the hashes of both."""

    slide: Slide
    views: dict[str, Path]
    label: Path
    hashes: dict[str, str]

    def labels(self) -> NDArray[np.uint8]:
        """Return class indices (H, W) at native resolution."""
        return read_mask(self.label)


def sample_files(workspace: Workspace, slide: Slide, data: DataSection) -> SampleFiles:
    """Return the aligned views and labels of a sample, with the hashes that their stages recorded."""
    aligned, labels = workspace.aligned / slide.sample, workspace.labels / slide.sample
    view_hashes, label_hashes = read_record(aligned)["files"], read_record(labels)["files"]
    views = {name: aligned / f"{name}.tif" for name in data.illuminations}
    hashes = {name: view_hashes[path.name] for name, path in views.items()}
    return SampleFiles(slide, views, labels / LABEL_NAME, hashes | {"label": label_hashes[LABEL_NAME]})


def view_specs(slides: Sequence[Slide], data: DataSection) -> tuple[ViewSpec, ...]:
    """Return illumination and bands in channel order, the same in all slides."""
    specs = tuple(
        ViewSpec(illumination=name, bands=slides[0].views[name].bands) for name in data.illuminations
    )
    if data.mode == "separate" and len({spec.bands for spec in specs}) > 1:
        listed = ", ".join(f"{spec.illumination} has {spec.bands}" for spec in specs)
        raise DataFault(
            "data.mode separate",
            found=f"views with different bands ({listed})",
            expected="the same number in all views",
            fix="use data.mode: stack, or export all in colour",
        )
    return specs


def working_slides(
    workspace: Workspace,
    samples: Sequence[SampleFiles],
    *,
    data: DataSection,
    specs: Sequence[ViewSpec],
    progress: Progress,
) -> list[WorkingSlide]:
    """Return the samples as the network sees them: one slide a sample (stack) or one a view (separate).

    Copies at working resolution are kept by content, so an unchanged sample is not decoded again.
    """
    combinations = [tuple(specs)] if data.mode == "stack" else [(spec,) for spec in specs]
    slides = []
    for files in samples:
        for combination in combinations:
            key = _working_key(files, combination, data)
            folder = workspace.working_copies / key[:32]
            name = files.slide.sample
            if len(combinations) > 1:
                name = f"{name}/{combination[0].illumination}"
            if not (folder / "labels.npy").is_file():
                progress(f"train: {name} at working resolution")
                _make_working_copy(folder, files, combination, factor=data.downsample)
            slides.append(open_working_copy(folder, name))
    return slides


def forget_working_copies(
    workspace: Workspace, samples: Sequence[SampleFiles], *, data: DataSection, specs: Sequence[ViewSpec]
) -> None:
    """Remove the working copies that belong to none of `samples`."""
    combinations = [tuple(specs)] if data.mode == "stack" else [(spec,) for spec in specs]
    needed = {_working_key(files, each, data)[:32] for files in samples for each in combinations}
    if workspace.working_copies.is_dir():
        for folder in workspace.working_copies.iterdir():
            if folder.name not in needed:
                shutil.rmtree(folder)


def part_samples(
    workspace: Workspace, slides: Sequence[Slide], split: Split, part: Part, data: DataSection
) -> list[SampleFiles]:
    """Return the files of the samples of one part, by name."""
    by_name = {slide.sample: slide for slide in slides}
    return [sample_files(workspace, by_name[name], data) for name in split.samples(part)]


def content_of(samples: Sequence[SampleFiles]) -> dict[str, Any]:
    """Return the hashes of all files by sample, the identity of the data."""
    return {files.slide.sample: files.hashes for files in samples}


def _working_key(files: SampleFiles, specs: Sequence[ViewSpec], data: DataSection) -> str:
    return content_key(
        {
            "views": [files.hashes[spec.illumination] for spec in specs],
            "label": files.hashes["label"],
            "downsample": data.downsample,
        }
    )


def _make_working_copy(folder: Path, files: SampleFiles, specs: Sequence[ViewSpec], *, factor: int) -> None:
    labels = files.labels()
    sweep(folder)

    def read_labels(window: Window) -> NDArray[np.uint8]:
        rows, cols = window.slices
        return labels[rows, cols]

    with open_views(files.views, specs, group=files.slide.sample) as views:
        write_working_copy(
            folder,
            read_image=views.read,
            read_labels=read_labels,
            size_px=(views.height, views.width),
            bands=sum(spec.bands for spec in specs),
            factor=factor,
        )

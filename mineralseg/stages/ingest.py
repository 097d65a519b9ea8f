"""Ingest: read every raw file once, and write down what there is."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mineralseg.config.data import AlignIdentity
from mineralseg.config.params import Params
from mineralseg.core.progress import Progress
from mineralseg.core.slide import Slide
from mineralseg.core.split import SampleRow
from mineralseg.errors import DataFault, DataFaults
from mineralseg.io.files import read_json, sha256_file, write_json
from mineralseg.io.samples import SampleFolder, find_samples
from mineralseg.io.tables import read_samples
from mineralseg.stages.code import code_sha256
from mineralseg.stages.inspect import Inspection, inspect_samples, inspect_slide
from mineralseg.stages.manifest import slide_from_row, write_manifest
from mineralseg.stages.masks import MaskReader
from mineralseg.stages.per_sample import content_key
from mineralseg.stages.workspace import Workspace


def ingest_slides(params: Params, workspace: Workspace, *, progress: Progress) -> dict[str, Any]:
    """Write the manifest of all samples and return the stage's report.

    Samples whose files are those of the last run are not decoded again.

    Raises:
        DataFaults: lists everything that is wrong with the data; no manifest is then written.
    """
    inspection, redone = inspect_workspace(params, workspace, progress=progress)
    if inspection.faults:
        raise DataFaults(inspection.faults)
    write_manifest(workspace.manifest, list(inspection.slides))
    names = [slide.sample for slide in inspection.slides]
    report = {
        "samples": len(names),
        "specimens": len({slide.specimen for slide in inspection.slides}),
        "megapixels": round(sum(s.height * s.width * len(s.views) for s in inspection.slides) / 1e6, 3),
        "redone": redone,
        "reused": [name for name in names if name not in redone],
    }
    write_json(workspace.report("ingest"), report)
    return report


def inspect_workspace(
    params: Params, workspace: Workspace, *, progress: Progress
) -> tuple[Inspection, list[str]]:
    """Return what is in data/raw with every fault, and the samples that had to be decoded."""
    masks = MaskReader.open(params.labels.masks, legend_file=workspace.legend_file, tables=workspace.raw)
    remembered = _Remembered(workspace.private / "inspected", code=code_sha256("ingest"))
    redone: list[str] = []

    def inspect_one(folder: SampleFolder, row: SampleRow) -> Slide:
        def inspect() -> Slide:
            progress(f"ingest: {folder.name}")
            redone.append(folder.name)
            return inspect_slide(folder, row, params=params, masks=masks, root=workspace.raw)

        return remembered.slide(folder, _key_parts(folder, row, masks, params), inspect)

    inspection = inspect_samples(
        find_samples(workspace.raw),
        read_samples(workspace.samples_file),
        wanted=params.data.illuminations,
        root=workspace.raw,
        inspect_one=inspect_one,
    )
    return inspection, redone


def _key_parts(folder: SampleFolder, row: SampleRow, masks: MaskReader, params: Params) -> dict[str, Any]:
    align = {"kind"} if isinstance(params.align, AlignIdentity) else {"kind", "reference"}
    paths = [path for paths in folder.views.values() for path in paths] + list(folder.labels)
    return {
        "files": {f"{path.parent.name}/{path.name}": sha256_file(path) for path in paths},
        "row": asdict(row),
        "masks": masks.key(),
        "wanted": params.data.illuminations,
        "align": params.align.model_dump(mode="json", include=align),
        "placement": params.labels.placement.model_dump(mode="json", include={"kind", "map_pixel_um"}),
    }


class _Remembered:
    """Slides found sound before, by the hashes of all they depend on."""

    def __init__(self, folder: Path, *, code: str) -> None:
        self._folder, self._code = folder, code

    def slide(self, folder: SampleFolder, parts: dict[str, Any], inspect: Callable[[], Slide]) -> Slide:
        """Return the slide of a sample folder, decoding it only when it is not the one remembered."""
        path = self._folder / f"{folder.name}.json"
        key = content_key({"code": self._code, **parts})
        if path.is_file():
            try:
                entry = read_json(path)
                if entry["key"] == key:
                    return slide_from_row(entry["slide"])
            except (DataFault, KeyError, TypeError):
                pass  # a damaged memory is made again below
        slide = inspect()
        write_json(path, {"key": key, "slide": asdict(slide)})
        return slide

"""The manifest and the split as files: what ingest found, for every stage after it."""

from dataclasses import asdict
from pathlib import Path

from mineralseg.core.geometry import PixelSize
from mineralseg.core.slide import Illumination, ImageFile, Slide
from mineralseg.core.split import PARTS, Split
from mineralseg.errors import DataFault
from mineralseg.io.files import read_json, write_json


def write_manifest(path: Path, slides: list[Slide]) -> None:
    """Write the slides as ingest found them."""
    write_json(path, {"samples": [asdict(slide) for slide in slides]})


def read_manifest(path: Path) -> list[Slide]:
    """Return the slides of a manifest, by sample.

    Raises:
        DataFault: it lists no sample, so that nothing may be trained on it.
    """
    slides = [slide_from_row(row) for row in read_json(path)["samples"]]
    if not slides:
        raise DataFault(path, found="no sample", expected="at least one", fix="run `mineralseg check`")
    return slides


def slide_from_row(row: dict[str, object]) -> Slide:
    """Return a slide from its plain form (`dataclasses.asdict`, key order lost)."""
    match row:
        case {
            "sample": str(sample),
            "specimen": str(specimen),
            "views": dict(views),
            "label": dict(label),
            "pixel_size": dict(pixel_size),
        }:
            return Slide(
                sample,
                specimen,
                {name: ImageFile(**views[name]) for name in sorted(views, key=Illumination.parse)},
                ImageFile(**label),
                PixelSize(**pixel_size),
            )
        case _:
            raise DataFault(
                "manifest", found=f"an entry {row}", expected="a slide", fix="run `dvc repro ingest`"
            )


def write_split(path: Path, split: Split) -> None:
    """Write which sample is in which part, and of which specimen."""
    write_json(
        path,
        {"parts": {part: split.samples(part) for part in PARTS}, "specimens": split.specimen_of},
    )


def read_split(path: Path) -> Split:
    """Return the split in a file."""
    content = read_json(path)
    part_of = {sample: part for part in PARTS for sample in content["parts"][part]}
    return Split(part_of, content["specimens"])

"""The manifest and the split as files: what ingest found, for every stage after it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mineralseg.core.geometry import PixelSize
from mineralseg.core.slide import Illumination, ImageFile, Slide
from mineralseg.core.split import PARTS, Part, Split
from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.io.files import read_json, write_json


def write_manifest(path: Path, slides: list[Slide]) -> None:
    """Write the slides as ingest found them."""
    write_json(path, {"samples": [asdict(slide) for slide in slides]})


def read_manifest(path: Path) -> list[Slide]:
    """Return the slides of a manifest, by sample.

    Raises:
        ConfigurationError: the pipeline has not made it yet.
        DataFault: it lists no sample, so that nothing may be trained on it.
    """
    content = _made_by_pipeline(path)
    if not isinstance(content, dict) or not isinstance(content.get("samples"), list):
        raise _unreadable(path)
    slides = [slide_from_row(row) for row in content["samples"]]
    if not slides:
        raise DataFault(path, found="no sample", expected="at least one", fix="run `mineralseg check`")
    return slides


def slide_from_row(row: dict[str, object]) -> Slide:
    """Return a slide from its plain form (`dataclasses.asdict`, key order lost)."""
    match row:
        case {
            "sample": str(sample),
            "specimen": str(specimen),
            "reference": str(reference),
            "views": dict(views),
            "label": dict(label),
            "pixel_size": dict(pixel_size),
        }:
            return Slide(
                sample,
                specimen,
                reference,
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
    match _made_by_pipeline(path):
        case {
            "parts": {"train": list(train), "val": list(val), "test": list(test)},
            "specimens": dict(specimens),
        }:
            members: dict[Part, list[str]] = {"train": train, "val": val, "test": test}
            part_of = {sample: part for part in PARTS for sample in members[part]}
            return Split(part_of, specimens)
        case _:
            raise _unreadable(path)


def _made_by_pipeline(path: Path) -> Any:
    """Return the content of a file that only a run of the pipeline makes."""
    if not path.is_file():
        raise ConfigurationError(
            path, found="not made yet", expected="a finished pipeline", fix="run `dvc repro`"
        )
    return read_json(path)


def _unreadable(path: Path) -> ConfigurationError:
    return ConfigurationError(
        path, found="other content than the pipeline writes", fix="delete it, then run `dvc repro`"
    )

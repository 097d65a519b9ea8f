"""Which source code each stage runs, and its hash: results are only reused from the same code."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mineralseg.errors import ConfigurationError
from mineralseg.io.files import read_bytes
from mineralseg.io.tables import read_yaml, write_yaml

_ROOT = Path(__file__).parents[2]
_DOOR = ("pipelines/door.py", "mineralseg/cli/boundary.py", "mineralseg/errors.py")
_FILES = (*_DOOR, *(f"mineralseg/{name}" for name in ("core", "config", "io")))
_NETWORK = (*_FILES, *(f"mineralseg/{name}" for name in ("imaging", "data", "models", "engine", "tracking")))


def _of_stages(*names: str) -> tuple[str, ...]:
    return tuple(f"mineralseg/stages/{name}" for name in ("code.py", "manifest.py", "workspace.py", *names))


_INSPECT = ("inspect.py", "masks.py", "per_sample.py")
_PICTURES = ("file_pixels.py", "pages.py", "pictures.py", "registering.py", "templates")
_SAMPLES = ("per_sample.py", "runs.py", "training_data.py", "views.py")

STAGE_CODE: dict[str, tuple[str, ...]] = {
    "ingest": ("pipelines/ingest.py", *_FILES, "mineralseg/imaging", *_of_stages("ingest.py", *_INSPECT)),
    "align": (
        "pipelines/align.py",
        *_FILES,
        "mineralseg/imaging",
        *_of_stages("accepted.py", "align.py", "alignment_evidence.py", "per_sample.py", *_PICTURES),
    ),
    "label": (
        "pipelines/label.py",
        *_FILES,
        "mineralseg/imaging",
        *_of_stages(
            "accepted.py",
            "label.py",
            "labelling_evidence.py",
            "map_placement.py",
            "marked_places.py",
            *_INSPECT,
            *_PICTURES,
        ),
    ),
    "split": ("pipelines/split.py", *_FILES, *_of_stages("accepted.py", "split.py")),
    "train": ("pipelines/train.py", *_NETWORK, *_of_stages("train.py", "fitting.py", *_SAMPLES)),
    "evaluate": (
        "pipelines/evaluate.py",
        *_NETWORK,
        *_of_stages(
            "evaluate.py",
            "evaluation_page.py",
            "grids.py",
            "pages.py",
            "registering.py",
            "file_pixels.py",
            "scoring.py",
            "templates",
            *_SAMPLES,
        ),
    ),
    "package": (
        "pipelines/package.py",
        *_FILES,
        "mineralseg/models",
        *(f"mineralseg/stages/{name}" for name in ("code.py", "package.py", "workspace.py")),
    ),
}
"""Files and packages that a stage runs, from the folder that holds `mineralseg`; what dvc.yaml must watch."""

_SUFFIXES = {".py", ".html"}
_MAX_SOURCE_BYTES = 1 << 20


def code_sha256(stage: str) -> str:
    """Return one hash over the names and contents of all source files of a stage, as installed here."""
    digest = hashlib.sha256()
    for path in _sources(stage):
        digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0")
        digest.update(read_bytes(path, max_bytes=_MAX_SOURCE_BYTES) + b"\0")
    return digest.hexdigest()


def write_code_file(path: Path) -> None:
    """Record the hashes of all stages, which dvc.yaml of a workspace outside the repository watches."""
    write_yaml(path, {stage: code_sha256(stage) for stage in STAGE_CODE})


def check_code_file(path: Path) -> None:
    """Make sure that the recorded code is the installed one; a workspace without a record passes.

    Raises:
        ConfigurationError: mineralseg was changed since the workspace was made or last refreshed.
    """
    if not path.is_file():
        return
    content = read_yaml(path)
    recorded = content if isinstance(content, dict) else {}
    changed = [stage for stage in STAGE_CODE if recorded.get(stage) != code_sha256(stage)]
    if changed:
        raise ConfigurationError(
            path,
            found=f"another version of mineralseg (stages {', '.join(changed)})",
            expected="the installed one",
            fix="`mineralseg init . --refresh-code` accepts it; those stages then run again",
        )


def _sources(stage: str) -> Iterator[Path]:
    for name in STAGE_CODE[stage]:
        place = _ROOT / name
        yield from (
            [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.suffix in _SUFFIXES)
        )

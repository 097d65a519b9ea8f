"""Work done once per sample and content: a stage redoes the samples whose inputs changed, no others.

Each sample's output folder holds a record of the key it was made for and the hashes of its files. DVC
keeps such an output between runs (`persist: true`), so an unchanged sample costs one hash of its files.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mineralseg.core.progress import Progress
from mineralseg.errors import DataFault, DataFaults, MineralsegError
from mineralseg.io.files import read_json, sha256_file, write_json

_RECORD = "record.json"


@dataclass(frozen=True)
class SampleWork:
    """What one sample needs: its name, everything its result depends on, and how to make it."""

    sample: str
    depends_on: Mapping[str, Any]
    make: Callable[[Path], Mapping[str, Any]]
    """Writes the files into a folder and returns what is worth recording of them."""


@dataclass(frozen=True)
class Tally:
    """Which samples were made, which were there already, and what is recorded of each."""

    redone: tuple[str, ...]
    reused: tuple[str, ...]
    records: dict[str, dict[str, Any]]

    def report(self) -> dict[str, Any]:
        """Return the tally as a stage reports it."""
        return {"samples": len(self.records), "redone": list(self.redone), "reused": list(self.reused)}


def redo_changed(work: Sequence[SampleWork], *, out: Path, code: str, progress: Progress) -> Tally:
    """Bring `out`/<sample>/ up to date for all samples and remove samples that are gone.

    Args:
        work: the samples.
        out: folder of the outputs.
        code: hash of the code that makes them.
        progress: told of every sample that is made.

    Raises:
        DataFaults: samples that could not be made, after all others were.
    """
    out.mkdir(parents=True, exist_ok=True)
    wanted = {item.sample for item in work}
    for folder in out.iterdir():
        if folder.is_dir() and folder.name not in wanted:
            shutil.rmtree(folder)
    redone, reused, faults = [], [], []
    records: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(work, 1):
        key = content_key({"code": code, **item.depends_on})
        folder = out / item.sample
        record = _sound_record(folder, key)
        if record is None:
            progress(f"{out.name}: {item.sample} ({number} of {len(work)})")
            try:
                record = _make(item, folder, key)
            except MineralsegError as fault:
                faults.append(fault)
                continue
            redone.append(item.sample)
        else:
            reused.append(item.sample)
        records[item.sample] = record
    if faults:
        raise DataFaults(faults)
    return Tally(tuple(redone), tuple(reused), records)


def content_key(parts: Mapping[str, Any]) -> str:
    """Return one hash of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any]:
    """Return what the stage before recorded of a sample, with the hash of every file under `files`."""
    record: dict[str, Any] = read_json(folder / _RECORD)
    return record


def _make(item: SampleWork, folder: Path, key: str) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    facts = item.make(folder)
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    record = {"key": key, "files": files, **facts}
    write_json(folder / _RECORD, record)
    return record


def _sound_record(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the record of a folder made for `key` whose files are what it says, else None."""
    try:
        record = read_record(folder)
        sound = record["key"] == key and all(
            sha256_file(folder / name) == digest for name, digest in record["files"].items()
        )
    except (DataFault, KeyError, AttributeError, TypeError):
        return None
    return record if sound else None

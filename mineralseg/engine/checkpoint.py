"""Where an interrupted training goes on: two checkpoints, each with its hash."""

import dataclasses
import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mineralseg.engine.fit import FitState
from mineralseg.errors import DataFault, UntrustedArtefact
from mineralseg.io.files import read_bytes, read_json, write_atomic, write_json

_POINTER = "latest.json"
_KEPT = 2
_MAX_BYTES = 16 << 30


def save_checkpoint(folder: Path, state: FitState, *, run_id: str) -> None:
    """Write a checkpoint, then point to it; the one before stays as a reserve."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({name: getattr(state, name) for name in _FIELDS}, buffer)
    data = buffer.getvalue()
    name = f"epoch-{state.epoch:06d}.pt"
    write_atomic(folder / name, data)
    entry: dict[str, Any] = {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "epoch": state.epoch}
    before = _read_pointer(folder)["checkpoints"] if (folder / _POINTER).is_file() else []
    kept = [entry, *(e for e in before if e["file"] != name)][:_KEPT]
    write_json(folder / _POINTER, {"run_id": run_id, "checkpoints": kept})
    for old in folder.glob("epoch-*.pt"):
        if old.name not in {e["file"] for e in kept}:
            old.unlink()


def load_checkpoint(folder: Path, *, warn: Callable[[str], None]) -> tuple[FitState, str] | None:
    """Return the newest sound checkpoint and the run it belongs to, None where there is none.

    Raises:
        UntrustedArtefact: there are checkpoints and every one is damaged.
    """
    if not (folder / _POINTER).is_file():
        return None
    pointer = _read_pointer(folder)
    for entry in pointer["checkpoints"]:
        path = folder / entry["file"]
        try:
            data = read_bytes(path, max_bytes=_MAX_BYTES)
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise DataFault(path, found="another sha256 than recorded")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            return FitState(**content), str(pointer["run_id"])
        except (DataFault, pickle.UnpicklingError, RuntimeError) as fault:
            warn(f"checkpoint {path} is damaged, trying the one before ({fault})")
    raise _unusable(folder, f"{len(pointer['checkpoints'])} damaged checkpoint(s)")


_FIELDS = tuple(field.name for field in dataclasses.fields(FitState))


def _read_pointer(folder: Path) -> dict[str, Any]:
    """Return the run and its checkpoints, newest first, each with file name, sha256 and epoch."""
    try:
        content = read_json(folder / _POINTER)
    except DataFault as fault:
        raise _unusable(folder, f"a damaged {_POINTER} ({fault.found})") from None
    if not isinstance(content, dict) or not {"run_id", "checkpoints"} <= content.keys():
        raise _unusable(folder, f"a {_POINTER} that names no checkpoints")
    return content


def _unusable(folder: Path, found: str) -> UntrustedArtefact:
    return UntrustedArtefact(
        folder,
        found=found,
        expected="one sound checkpoint",
        fix="delete the folder to train from the start",
    )

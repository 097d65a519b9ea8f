"""Where a result comes from: the commit of the code and the hashes of the data, as tags of a run."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mineralseg.errors import DataFault
from mineralseg.io.files import printable, read_text, sha256_file
from mineralseg.tracking.names import metric_keys

_GIT_WAIT_S = 20.0


@dataclass(frozen=True)
class GitState:
    """The commit that is checked out and whether tracked files differ from it; None where not known."""

    commit: str | None
    dirty: bool | None


def git_state(folder: Path, *, apart_from: Sequence[str] = ()) -> GitState:
    """Return the state of the git repository that `folder` is in.

    Both facts are None when there is no git, no repository or no commit, or when git does not trust the
    owner of the folder: a result without lineage is better than none.

    Args:
        folder: any folder of the repository.
        apart_from: paths below `folder` whose changes do not count, such as those a pipeline writes.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    excluded = [f":(exclude){path}" for path in apart_from]
    status = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", *excluded)
    if commit is None or status is None:
        return GitState(None, None)
    return GitState(commit.strip(), bool(status.strip()))


def dvc_hashes(workspace: Path) -> dict[str, str]:
    """Return the md5 that DVC records for each of its outputs, by path relative to `workspace`.

    They are read from `dvc.lock` (what stages made) and from all `*.dvc` files (what was added by hand).

    Raises:
        DataFault: one of these files is not readable as YAML of DVC.
    """
    hashes: dict[str, str] = {}
    for file in _dvc_files(workspace):
        base = file.parent.relative_to(workspace).as_posix()
        hashes |= _outputs(_yaml(file), base=base)
    lock = workspace / "dvc.lock"
    if lock.is_file():
        stages = _yaml(lock).get("stages")
        for stage in (stages if isinstance(stages, dict) else {}).values():
            hashes |= _outputs(stage, base=".")
    return dict(sorted(hashes.items()))


def lineage_tags(workspace: Path, *, apart_from: Sequence[str] = ()) -> dict[str, str]:
    """Return tags that lead from a run back to its code and data; what is not known is left out.

    Args:
        workspace: the project folder.
        apart_from: paths whose changes do not make the code dirty, as in `git_state`.

    Returns:
        `git.commit`, `git.dirty`, `dvc.lock_sha256`, and `dvc.<output>` with its md5.
    """
    git = git_state(workspace, apart_from=apart_from)
    tags: dict[str, str] = {}
    if git.commit is not None:
        tags |= {"git.commit": git.commit, "git.dirty": str(git.dirty).lower()}
        tags["mlflow.source.git.commit"] = git.commit
    lock = workspace / "dvc.lock"
    if lock.is_file():
        tags["dvc.lock_sha256"] = sha256_file(lock)
    hashes = dvc_hashes(workspace)
    return tags | dict(zip(metric_keys([f"dvc.{path}" for path in hashes]), hashes.values(), strict=True))


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, None when it fails in any way."""
    program = shutil.which("git")
    if program is None:
        return None
    # Asking for the state must not write to the repository, nor wait for a password.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, and no shell
            [program, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_WAIT_S,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _dvc_files(workspace: Path) -> Iterator[Path]:
    """Yield the `*.dvc` files of the workspace; hidden folders hold caches and environments, not data."""
    for folder, names, files in os.walk(workspace):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(".dvc"))


def _yaml(file: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, RecursionError) as error:
        raise DataFault(
            printable(file), found="not readable as YAML", fix="restore it from version control"
        ) from error
    return value if isinstance(value, dict) else {}


def _outputs(entry: object, *, base: str) -> dict[str, str]:
    """Return path and md5 of the outputs in one stage of dvc.lock or one `.dvc` file."""
    outputs = entry.get("outs") if isinstance(entry, dict) else None
    return {
        os.path.normpath(f"{base}/{out['path']}"): str(out["md5"])
        for out in (outputs if isinstance(outputs, list) else [])
        if isinstance(out, dict) and "path" in out and "md5" in out
    }

"""The files of a registered bundle: one hash for all of them, and names that stay where they belong."""

import hashlib
import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mineralseg.errors import UntrustedArtefact
from mineralseg.io.files import sha256_file
from mineralseg.tracking import mlflow_api as api

_MLFLOW_NOTE = "registered_model_meta"  # MLflow may leave this file among those it downloads
_MOST_FILES = 1000


def bundle_sha256(folder: Path) -> str:
    """Return one hash (64 hexadecimal digits) of the names and contents of all files in `folder`.

    Raises:
        UntrustedArtefact: it holds a link or something else that is not a regular file, or no file.
    """
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UntrustedArtefact(
                str(path), found="a link or special file", expected="a folder of regular files only"
            )
        if path.is_file() and path.name != _MLFLOW_NOTE:
            lines.append(f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n")
    if not lines:
        raise UntrustedArtefact(str(folder), found="no files", expected="the files of a bundle")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def listed_files(repository: api.ArtifactRepository, *, subject: str) -> Iterator[str]:
    """Yield the names of all files of an artifact store, each known to stay inside its folder.

    Args:
        repository: the store of one model's files.
        subject: what is being listed, for messages.

    Raises:
        UntrustedArtefact: a name is absolute, leads upwards, or there is no end of them.
    """
    folders: list[str | None] = [None]
    seen = 0
    while folders:
        parent = folders.pop()
        try:
            entries = repository.list_artifacts(parent)
        except api.MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise UntrustedArtefact(
                subject, found="a file name that leads out of its folder", fix="do not use this server"
            ) from error
        for entry in entries:
            seen += 1
            _check_inside(entry.path, parent, subject=subject)
            if seen > _MOST_FILES:
                raise UntrustedArtefact(subject, found=f"more than {_MOST_FILES} files", expected="a bundle")
            if entry.is_dir:
                folders.append(entry.path)
            elif posixpath.basename(entry.path) != _MLFLOW_NOTE:
                yield entry.path


def _check_inside(name: str, parent: str | None, *, subject: str) -> None:
    """Refuse a listed name that is not plainly a child of the folder `parent` that was listed."""
    path = PurePosixPath(name)
    legal = (
        path.as_posix() == name
        and ".." not in path.parts
        and name.isprintable()
        and "\\" not in name
        and path.parent.as_posix() == (parent or ".")
        and path.name
    )
    if not legal:
        raise UntrustedArtefact(
            subject, found=f"the file name {name!r}", expected="a name inside the folder of the model"
        )

"""Files as bytes, text and JSON: read only what is regular, write all or nothing, lock across processes.

A final name appears only when its content is complete and on the disk; until then the content lies in
a `.tmp-*` file of the same folder, which is all that a killed process can leave behind.
"""

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from mineralseg.errors import Busy, ConfigurationError, DataFault, EnvironmentFault

MAX_TEXT_BYTES = 64 * 2**20
"""Largest text or JSON file that is read: far above any manifest, far below the memory of a laptop."""

_FILE_MODE = 0o644
_TEMPORARY = ".tmp-"
_MACHINE_FAULTS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE}
_WRITE_FIXES = {
    errno.ENOSPC: "free some space on this disk and run again",
    errno.EDQUOT: "free some of your disk quota and run again",
    errno.EFBIG: "raise the file size limit (ulimit -f) and run again",
    errno.EACCES: "ask for the right to write in this folder, or choose another",
    errno.EPERM: "ask for the right to write in this folder, or choose another",
    errno.EROFS: "choose a folder that is not mounted read-only",
    errno.ENAMETOOLONG: "choose a shorter file name",
    errno.ENOTDIR: "choose a folder whose path does not go through a file",
    errno.EEXIST: "choose a folder whose path does not go through a file",
    errno.EMFILE: "close other programs or raise the limit of open files (ulimit -n), then run again",
}


def printable(path: Path) -> str:
    """Return the name of `path` for a message: one line, whatever characters the name holds."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(path))


@contextmanager
def open_regular(path: Path) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading; a pipe, device, socket or folder is refused and never waited for.

    A symbolic link is followed, since data versioning may link files out of its cache.

    Raises:
        DataFault: the file is missing, not regular, or must not be read.
        EnvironmentFault: the machine failed to read it.
    """
    with _reading(path):
        # Without O_NONBLOCK, opening a named pipe waits until someone writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        _refuse_irregular(path)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def sha256_file(path: Path) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of a file's content, read in pieces."""
    with open_regular(path) as file, _reading(path):
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a file of at most `max_bytes` bytes.

    Raises:
        DataFault: the file is missing, not regular or too large.
    """
    with open_regular(path) as file, _reading(path):
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise DataFault(
            printable(path), found=f"more than {max_bytes} bytes", expected=f"at most {max_bytes}"
        )
    return data


def read_text(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file of at most `max_bytes` bytes, line ends as they are.

    Raises:
        DataFault: the file is missing, too large or not UTF-8.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataFault(
            printable(path),
            found=f"byte {error.start} is not UTF-8 text",
            expected="UTF-8",
            fix="save the file as UTF-8",
        ) from error


def read_json(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """Return the value of a JSON file; NaN and Infinity are not JSON and are refused.

    Raises:
        DataFault: the file is missing, too large, or not JSON.
    """
    text = read_text(path, max_bytes=max_bytes)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataFault(
            printable(path),
            found=f"not readable as JSON ({error})",
            expected="a complete JSON file",
            fix="make the file again, or restore it from version control",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, wholly or not at all."""
    write_atomic(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with sorted keys, so that equal values give equal bytes.

    Raises:
        ValueError: a float is NaN or infinite; say `None` where a number is not known.
        EnvironmentFault: the disk refused.
    """
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, wholly or not at all; on any failure the old file stays as it was.

    Raises:
        EnvironmentFault: the disk or the rights do not allow it.
        ConfigurationError: `path` is a folder.
    """
    with replacement(path) as temporary, writing(path):
        temporary.write_bytes(data)


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a new empty file beside `path` that takes its name, durably, when the block ends well.

    Missing folders are made. When the block raises, the new file is removed, the old one is intact and
    the error passes through.

    Raises:
        EnvironmentFault: the disk or the rights do not allow it.
        ConfigurationError: `path` is a folder.
    """
    if path.is_dir():
        raise ConfigurationError(printable(path), found="a folder", expected="the name of a file to write")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    temporary = Path(name)
    try:
        with writing(path):
            os.close(descriptor)
        yield temporary
        with writing(path):
            _flush_to_disk(temporary)
            temporary.chmod(_FILE_MODE)
            temporary.replace(path)
            _flush_to_disk(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove what killed writers have left in `folder`; the caller holds the lock of living ones."""
    for left in folder.glob(f"{_TEMPORARY}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder in `folder` for as long as the block lasts; `sweep` removes what a kill leaves."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        place = tempfile.mkdtemp(dir=folder, prefix=_TEMPORARY)
    try:
        yield Path(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses while `path` is written into an `EnvironmentFault`."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(
            printable(path),
            found=f"cannot be written: {error.strerror or error}",
            fix=_WRITE_FIXES.get(error.errno or 0, "run again when the disk can be written"),
        ) from error


@contextmanager
def hold_lock(path: Path, *, purpose: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; who comes second is told, and does not wait.

    The file stays and says who holds it. The kernel frees the lock when the holder ends, however it
    ends; children forked (not spawned) inside the block keep it until they end too.

    Args:
        path: the lock file, made when missing.
        purpose: what the holder is doing, for the message to others.

    Raises:
        Busy: another process (or another block of this one) holds it.
        EnvironmentFault: the file cannot be made or locked.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        with writing(path):
            _lock(path, file)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": os.uname().nodename, "since": started, "purpose": purpose}
        try:
            with writing(path):
                file.truncate(0)
                file.write(json.dumps(holder).encode())
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)
            fcntl.flock(file, fcntl.LOCK_UN)


def _lock(path: Path, file: io.FileIO) -> None:
    """Take the lock, or say who has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(
            printable(path),
            found=f"in use by {_holder(file)}",
            fix="wait until it has ended, or end it, then run again",
        ) from None


def _holder(file: io.FileIO) -> str:
    """Return what the lock file says of its holder, who may not have written it yet."""
    try:
        note = json.loads(file.read(4096))
        return f"process {note['pid']} on {note['host']} ({note['purpose']}) since {note['since']}"
    except (ValueError, TypeError, KeyError):
        return "another process"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say whether the file (`DataFault`) or the machine (`EnvironmentFault`) is why it cannot be read."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataFault(printable(path), found="no such file", fix="check the name and the folder") from error
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        if error.errno in _MACHINE_FAULTS:
            raise EnvironmentFault(printable(path), found=found, fix="run again") from error
        if error.errno == errno.ENXIO:  # what opening a socket answers
            _refuse_irregular(path)
        raise DataFault(printable(path), found=found, fix="check the file and its rights") from error


def _refuse_irregular(path: Path) -> NoReturn:
    raise DataFault(
        printable(path), found="a folder, pipe, socket or device", expected="a regular file"
    ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _flush_to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk and not only in its cache."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Real commands in real processes, and what is left of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DVC = (sys.executable, "-m", "dvc")
PROGRAM = (sys.executable, "-c", "from mineralseg.cli.main import run; run()")


def run(command: tuple[str, ...], *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a folder; its output is not a terminal."""
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )


def repro(folder: Path) -> str:
    """Run `dvc repro`, which must succeed, and return all that it said."""
    done = run(DVC, "repro", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def start_repro(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `dvc repro` as the leader of a process group of its own."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [*DVC, "repro"], cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def stages_alive(folder: Path) -> list[int]:
    """Return the processes that run a stage in `folder` (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").readlink() == folder
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        if inside and b"pipelines." in words:
            found.append(int(process.name))
    return found


def wait_until(true: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait until something is so; the test fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes], *, group: bool) -> None:
    """End a process, or its whole group, without a chance to tidy up."""
    assert process.poll() is None, "it ended by itself"
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait(timeout=30)

"""What every door from DVC does: find the workspace, check the code, end with its parent."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mineralseg.cli.boundary import error_boundary, tell
from mineralseg.config.params import Params
from mineralseg.core.progress import Progress
from mineralseg.errors import EnvironmentFault
from mineralseg.stages.code import check_code_file
from mineralseg.stages.workspace import Workspace

_PR_SET_PDEATHSIG = 1


@contextmanager
def stage(name: str) -> Iterator[tuple[Params, Workspace, Progress]]:
    """Give a stage its parameters and the workspace in the current folder, and turn its errors into exits."""
    with error_boundary():
        _end_with_parent()
        workspace = Workspace.at(Path.cwd())
        check_code_file(workspace.code_file)
        tell(f"{name}: starts")
        yield workspace.params(), workspace, tell


def _end_with_parent() -> None:
    """Ask Linux to end this process when DVC is killed, so that no orphan writes into a later run.

    Raises:
        EnvironmentFault: DVC was killed already, while this process was still importing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # A process that did not found its session has its parent in it, until it is handed to init.
        session = os.getsid(0)
        if session != os.getpid() and os.getsid(os.getppid()) != session:
            raise EnvironmentFault(
                "stage", found="the process that started it has ended", fix="run `dvc repro` again"
            )

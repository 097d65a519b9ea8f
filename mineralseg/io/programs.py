"""Git and DVC, called as the programs they are."""

import os
import subprocess
import sys
from pathlib import Path

from mineralseg.errors import EnvironmentFault


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` and return what it printed.

    Raises:
        EnvironmentFault: there is no git, or it refused.
    """
    return _run(["git", *arguments], folder)


def run_dvc(folder: Path, *arguments: str) -> str:
    """Run the DVC of this Python in `folder` and return what it printed."""
    return _run([sys.executable, "-m", "dvc", *arguments], folder)


def git_knows_its_user(folder: Path) -> bool:
    """Return whether git would know whom to name in a commit."""
    try:
        return bool(run_git(folder, "config", "user.email").strip())
    except EnvironmentFault:
        return False


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, no shell
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise EnvironmentFault(
            command[0], found=f"cannot be run ({error.strerror})", fix="install it"
        ) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        # git and DVC may add advice after the line that says what is wrong
        fault = next((line for line in said if line.lower().startswith(("fatal: ", "error: "))), said[-1])
        raise EnvironmentFault(f"{' '.join(command[-3:])} in {folder}", found=fault)
    return done.stdout

"""Help is complete and costs nothing."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from mineralseg.cli.main import app
from tests.cli.conftest import Call

HEAVY = (
    "albumentations",
    "cv2",
    "dvc",
    "jinja2",
    "matplotlib",
    "mlflow",
    "numpy",
    "pydantic",
    "rasterio",
    "scipy",
    "segmentation_models_pytorch",
    "torch",
    "yaml",
)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_those_of_the_manual() -> None:
    names = {" ".join(path) for path, command in COMMANDS.items() if not hasattr(command, "commands")}
    assert names >= {
        "synth",
        "init",
        "check",
        "evaluate",
        "models list",
        "models register",
        "promote",
        "predict",
    }


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "mineralseg")
def test_every_command_and_option_explains_itself(mineralseg: Call, path: tuple[str, ...]) -> None:
    outcome = mineralseg(*path, "--help")
    assert outcome.code == 0
    assert "Usage: mineralseg" in outcome.out
    command = COMMANDS[path]
    assert command.help
    words = outcome.out.split()
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name
            assert parameter.opts[0] in words
        else:
            assert parameter.help, parameter.name


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['mineralseg', '--help']\n"
        "from mineralseg.cli.main import run\n"
        "try:\n    run()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        f"found = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "sys.exit(f'imported {found}' if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_program_is_this_one() -> None:
    done = subprocess.run(["mineralseg", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().count(".") == 2


def test_an_unknown_command_is_a_usage_error(mineralseg: Call) -> None:
    outcome = mineralseg("segment")
    assert (outcome.code, outcome.out) == (2, "")
    assert "No such command" in outcome.err

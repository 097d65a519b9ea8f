"""Options that several commands share, and how results are printed."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Folder with params.yaml.", show_default="this folder")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
HERE = Path()


def emit(value: dict[str, Any]) -> None:
    """Print one JSON object on a line of stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)  # noqa: T201


def say(line: str) -> None:
    """Print one line of result on stdout."""
    print(line, flush=True)  # noqa: T201

"""The reference names every parameter, command and option that there is, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import typer.main

from mineralseg.cli.main import app
from mineralseg.config.params import Params
from mineralseg.config.section import Section
from mineralseg.errors import MineralsegError

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
FIRST_CELL = re.compile(r"^\| *([^|]+?) *\|", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")


def dotted(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every value below a section, of all its alternatives."""
    for name, field in section.model_fields.items():
        sections = list(sections_in(field.annotation))
        for each in sections:
            yield from dotted(each, f"{prefix}{name}.")
        if not sections:
            yield f"{prefix}{name}"


def sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and not get_origin(annotation):
        if issubclass(annotation, Section):
            yield annotation
    elif get_origin(annotation) is not tuple:
        for part in get_args(annotation):
            yield from sections_in(part)


def documented_keys() -> list[str]:
    """Return the keys in the tables of params.md whose header is `Key`."""
    text = (REFERENCE / "params.md").read_text("utf-8")
    tables = re.findall(r"^\| Key \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [key for table in tables for cell in FIRST_CELL.findall(table) for key in CODE.findall(cell)]


def commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, under what a person types."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from commands(child, (*words, name))
    else:
        yield " ".join(words), command


def chapters() -> dict[str, str]:
    """Return the text below each heading of cli.md that is a command."""
    text = (REFERENCE / "cli.md").read_text("utf-8")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {
        title: body
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
        if title.startswith("mineralseg")
    }


def described_options(chapter: str) -> set[str]:
    return {
        option
        for cell in FIRST_CELL.findall(chapter)
        for option in CODE.findall(cell)
        if option.startswith("-")
    }


def real_options(command: Any) -> set[str]:
    names = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return {name for name in names if name.startswith("-")}


def test_every_parameter_is_described_once() -> None:
    keys = documented_keys()
    assert sorted(keys) == sorted(set(dotted(Params)))


def test_union_sections_are_followed() -> None:
    keys = set(dotted(Params))
    assert {"split.kind", "split.val", "train.loss.dice_weight", "model.encoder_weights"} <= keys
    assert "split" not in keys


def test_every_command_has_a_chapter() -> None:
    found = {title for title, _ in commands(typer.main.get_command(app), ("mineralseg",))}
    assert set(chapters()) == found | {"mineralseg"}


def test_every_option_is_described_with_its_command() -> None:
    root = typer.main.get_command(app)
    described = {
        title: described_options(chapter) - {"--help", "-h"} for title, chapter in chapters().items()
    }
    real = {title: real_options(command) for title, command in commands(root, ("mineralseg",))}
    real["mineralseg"] = real_options(root)
    assert described == {title: options - {"--help", "-h"} for title, options in real.items()}


def test_every_exit_code_is_described() -> None:
    codes = {MineralsegError.exit_code} | {each.exit_code for each in MineralsegError.__subclasses__()}
    text = (REFERENCE / "cli.md").read_text("utf-8")
    described = set(re.findall(r"^\| (\d) \|", text, re.MULTILINE))
    assert described == {"0", *map(str, codes)}

"""What documents and messages tell people to type exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mineralseg.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
MESSAGES = [*sorted(ROOT.glob("mineralseg/**/*.py")), *sorted(ROOT.glob("**/params.yaml"))]
SCRIPTS = [*sorted(ROOT.glob("docs/**/*.sh")), ROOT / ".ci" / "run"]

QUOTED = re.compile(r"`+([^`]+)`+")
FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^\s*(?:\$ |> )?")


def typed(path: Path) -> Iterator[str]:
    """Yield what a document shows as something to type: lines of fenced blocks and quoted code."""
    text = path.read_text("utf-8")
    blocks = FENCED.findall(text)
    if path.suffix in (".sh", "") or path in SCRIPTS:
        blocks, text = [text], ""
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            yield from (part for part in re.split(r"&&|;|\|", PROMPT.sub("", line)))
    yield from QUOTED.findall(FENCED.sub("", text))


def words_after(program: str, text: str) -> list[str] | None:
    """Return the words after a program at the start of a command line, None when it is another program."""
    try:
        words = shlex.split(text.strip(), comments=True)
    except ValueError:
        words = text.split()
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words[1:] if words and words[0] in (program, f".venv/bin/{program}") else None


def unknown_in(words: list[str]) -> str | None:
    """Return the first word of a `mineralseg` command line that the program does not know."""
    command: Any = typer.main.get_command(app)
    words = list(words)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return name if re.fullmatch(r"[a-z][a-z-]*", name) else None
        command = command.commands[name]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options = (word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word))
    return next((option for option in options if option not in known | {"--help", "-h"}), None)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_readers_of_this_file_find_what_they_look_for(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Run `make all`.\n\n```sh\n$ mineralseg predict X --outt Y \\\n  --json && make test\n```\n"
    )
    found = [" ".join(text.split()) for text in typed(page)]
    assert found == ["mineralseg predict X --outt Y --json", "make test", "make all"]
    assert unknown_in(words_after("mineralseg", found[0]) or []) == "--outt"
    assert unknown_in(["models", "liszt"]) == "liszt"
    assert unknown_in(["evaluate", "--model-version", "N", "--json"]) is None


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, *SCRIPTS, *MESSAGES], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_commands_and_targets_exist(path: Path) -> None:
    if not path.is_file():
        pytest.skip(f"{path.relative_to(ROOT)} is not written yet")
    wrong = []
    for text in typed(path):
        command, target = words_after("mineralseg", text), words_after("make", text)
        if command is not None and (unknown := unknown_in(command)):
            wrong.append(f"{text.strip()}: {unknown}")
        if target and re.fullmatch(r"[a-z]+", target[0]) and target[0] not in targets():
            wrong.append(text.strip())
    assert wrong == []


def test_every_target_is_explained_and_phony() -> None:
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE))
    assert explained == targets()
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) == targets()


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in DOCUMENTS:
        text = QUOTED.sub("", FENCED.sub("", path.read_text("utf-8"))) if path.is_file() else ""
        for link in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in link and not (path.parent / link).exists():
                broken.append(f"{path.relative_to(ROOT)}: {link}")
    assert broken == []

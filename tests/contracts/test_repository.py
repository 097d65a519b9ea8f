"""What is committed belongs to the project alone."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written in two parts, so that this file does not hold what it looks for.
INDEX_HOST = re.compile(
    r"https?://[^\s\"')]*(?:" + r"py" + r"pi|python" + r"hosted|artifactory|nexus|devpi)", re.IGNORECASE
)
INDEX_OPTION = re.compile(r"--(?:extra-)?" + r"index-url[ =]|^\s*index-" + r"url\s*=", re.MULTILINE)
OTHER_PLACES = re.compile(r"(?<![\w.])/" + r"(?:work|home|root|Users)/\w+")
LARGEST_BYTES = 1 << 20


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """Every file that git tracks, and every new one that it would."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [INDEX_HOST, INDEX_OPTION, OTHER_PLACES], ids=["host", "option", "place"])
def test_no_file_names_a_package_index_or_a_place_on_someones_disk(
    committed: list[Path], pattern: re.Pattern[str]
) -> None:
    named = []
    for path in committed:
        text = path.read_bytes().decode("utf-8", "replace")
        named += [f"{path.relative_to(ROOT)}: {match}" for match in pattern.findall(text)]
    assert named == []


def test_no_data_is_committed(committed: list[Path]) -> None:
    images = {".tif", ".tiff", ".jpg", ".jpeg", ".safetensors", ".pt", ".npy", ".db"}
    assert [str(path) for path in committed if path.suffix.lower() in images] == []
    assert [str(path) for path in committed if path.stat().st_size > LARGEST_BYTES] == []


def test_every_python_file_can_be_read_in_one_sitting(committed: list[Path]) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in committed
        if path.suffix == ".py" and (lines := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}

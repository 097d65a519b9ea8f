"""The command register as a person calls it: evidence on stdout, exit codes, and no traceback."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from mineralseg.io.gdal import quiet_georeference
from mineralseg.io.raster import probe
from tests.cli.conftest import Call, Outcome
from tests.workspaces import make_slides, write_tiff

SIZE_PX = 288
KEYS = {
    "verdict",
    "reason",
    "moving_to_fixed",
    "rotation_deg",
    "scale",
    "residual_px",
    "inliers",
    "score",
    "method",
}


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields") / "set"
    make_slides(folder, samples=3, size_px=SIZE_PX, seed=11)
    return folder


@pytest.fixture
def fixed(fields: Path) -> Path:
    return fields / "S02a" / "image" / "PPL.tif"


@pytest.fixture
def moving(fields: Path) -> Path:
    return fields / "S02a" / "image" / "XPL45.tif"


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    write_tiff(tmp_path / "blank.tif", np.full((SIZE_PX, SIZE_PX, 3), 90, np.uint8))
    return tmp_path / "blank.tif"


def told(outcome: Outcome) -> dict[str, Any]:
    """Return the one object that stdout holds, which must be JSON as its standard has it."""
    [line] = outcome.out.splitlines()
    value = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(value, dict)
    return value


def test_an_accepted_view_ends_with_0_and_its_evidence(
    mineralseg: Call, fixed: Path, moving: Path, tmp_path: Path
) -> None:
    out, picture = tmp_path / "out.tif", tmp_path / "look.png"
    outcome = mineralseg("register", fixed, moving, "--out", out, "--picture", picture, "--json")
    assert outcome.code == 0
    row = told(outcome)
    assert row.keys() >= KEYS
    assert (row["verdict"], row["reason"]) == ("accepted", "")
    matrix = np.array(row["moving_to_fixed"])
    assert matrix.shape == (3, 3)
    assert row["scale"] == pytest.approx(np.sqrt(np.linalg.det(matrix[:2, :2])), abs=1e-5)
    assert row["rotation_deg"] == pytest.approx(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])), abs=0.01)
    assert isinstance(row["inliers"], int)
    assert 0.25 <= row["score"] <= 1
    assert 0 < row["residual_px"] < 2
    assert (probe(out).height, probe(out).width) == (SIZE_PX, SIZE_PX)
    assert picture.is_file()


def test_a_person_reads_one_line(mineralseg: Call, fixed: Path, moving: Path) -> None:
    outcome = mineralseg("register", fixed, moving)
    assert outcome.code == 0
    [line] = outcome.out.splitlines()
    assert line.startswith("accepted (features")
    assert "residual" in line


def test_a_refused_view_ends_with_7_and_its_evidence_all_the_same(
    mineralseg: Call, fixed: Path, blank: Path, tmp_path: Path
) -> None:
    outcome = mineralseg("register", fixed, blank, "--out", tmp_path / "out.tif", "--json")
    assert outcome.code == 7
    row = told(outcome)
    assert row.keys() >= KEYS
    assert row["verdict"] == "refused"
    assert row["reason"].startswith("blank.tif: it is blank")
    assert row["moving_to_fixed"] is row["rotation_deg"] is row["scale"] is row["residual_px"] is None
    assert "it is blank" in outcome.err
    assert "--landmarks" not in outcome.err  # no place can be marked on a blank view
    assert not (tmp_path / "out.tif").exists()
    human = mineralseg("register", fixed, blank)
    assert (human.code, human.out) == (7, "")
    assert human.err.startswith("error: ")


def test_a_view_beyond_the_limit_is_refused_with_its_numbers(
    mineralseg: Call, fixed: Path, moving: Path
) -> None:
    outcome = mineralseg("register", fixed, moving, "--max-residual-px", 0.01, "--json")
    assert outcome.code == 7
    row = told(outcome)
    assert row["verdict"] == "refused"
    assert "more than 0.01" in row["reason"]
    assert row["residual_px"] > 0.01
    assert np.array(row["moving_to_fixed"]).shape == (3, 3)


def test_marked_places_are_taken(mineralseg: Call, fixed: Path, moving: Path, tmp_path: Path) -> None:
    marked = tmp_path / "landmarks.csv"
    places = [(30, 40), (250, 30), (40, 260), (240, 250), (150, 140)]
    rows = [f"{x};{y};{x + 2};{y - 1}" for x, y in places]
    marked.write_text("\n".join(["moving_x;moving_y;fixed_x;fixed_y", *rows]))
    outcome = mineralseg("register", fixed, moving, "--landmarks", marked, "--json")
    assert outcome.code == 0
    row = told(outcome)
    assert (row["inliers"], row["method"]) == (5, "landmarks, thin-plate spline")
    np.testing.assert_allclose(row["moving_to_fixed"], [[1, 0, 2], [0, 1, -1], [0, 0, 1]], atol=1e-6)
    marked.write_text("x,y\n1,2\n")
    outcome = mineralseg("register", fixed, moving, "--landmarks", marked, "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "no column moving_x" in outcome.err
    outcome = mineralseg("register", fixed, moving, "--landmarks", tmp_path / "nowhere.csv", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "no such file" in outcome.err


def test_a_map_needs_its_pixel_size(mineralseg: Call, fixed: Path, fields: Path) -> None:
    coarse = fields / "S02a" / "truth" / "mineral_map.png"
    outcome = mineralseg("register", fixed, coarse, "--map", "--json")
    assert (outcome.code, outcome.out) == (3, "")
    assert "--moving-um" in outcome.err
    outcome = mineralseg("register", fixed, coarse, "--map", "--moving-um", 10, "--json")
    assert outcome.code in (0, 7)
    row = told(outcome)
    assert row.keys() >= KEYS
    assert row["verdict"] == ("accepted" if outcome.code == 0 else "refused")


@pytest.mark.parametrize("as_map", [(), ("--map", "--moving-um", 10)], ids=["view", "map"])
@pytest.mark.parametrize("place", ["fixed", "moving"])
@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "cut", "16 bit"])
def test_what_is_no_usable_image_is_told_without_a_traceback(
    mineralseg: Call,
    fixed: Path,
    moving: Path,
    tmp_path: Path,
    *,
    kind: str,
    place: str,
    as_map: tuple[object, ...],
) -> None:
    bad = tmp_path / "bad one.tif"
    spoil(bad, kind, like=moving)
    before = sorted(tmp_path.iterdir())
    pair = (bad, moving) if place == "fixed" else (fixed, bad)
    outcome = mineralseg("register", *pair, *as_map, "--out", tmp_path / "out.tif", "--json")
    assert outcome.code in (2, 3)
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert "bad one.tif" in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted(tmp_path.iterdir()) == before


def spoil(path: Path, kind: str, *, like: Path) -> None:
    """Put something at `path` that is no usable image, or nothing."""
    match kind:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("not an image\n" * 100)
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(like.read_bytes()[:-3000])
        case "16 bit":
            deep = np.random.default_rng(5).integers(0, 65535, (SIZE_PX, SIZE_PX), np.uint16)
            with (
                quiet_georeference(),
                rasterio.open(
                    path, "w", driver="GTiff", height=SIZE_PX, width=SIZE_PX, count=1, dtype="uint16"
                ) as target,
            ):
                target.write(deep, 1)


def test_an_output_in_the_way_is_a_usage_error(
    mineralseg: Call, fixed: Path, moving: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    out.write_bytes(b"kept")
    command = ("register", fixed, moving, "--out", out, "--json")
    outcome = mineralseg(*command)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--overwrite" in outcome.err
    assert out.read_bytes() == b"kept"
    assert mineralseg(*command, "--overwrite", "--dry-run").code == 0
    assert out.read_bytes() == b"kept"
    assert mineralseg(*command, "--overwrite").code == 0
    assert probe(out).width == SIZE_PX


def test_a_dry_run_tells_the_same_and_writes_nothing(
    mineralseg: Call, fixed: Path, moving: Path, tmp_path: Path
) -> None:
    outputs = ("--out", tmp_path / "new" / "out.tif", "--picture", tmp_path / "look.png")
    dry = mineralseg("register", fixed, moving, *outputs, "--dry-run", "--json")
    assert dry.code == 0
    assert list(tmp_path.iterdir()) == []
    assert told(dry) == told(mineralseg("register", fixed, moving, "--json"))


@pytest.mark.parametrize(
    "options",
    [
        ("--max-scale-change", 0),
        ("--max-rotation-deg", 181),
        ("--max-residual-px", "far"),
        ("--min-score", 1),
        ("--moving-um", -1),
        ("--maps",),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    mineralseg: Call, fixed: Path, moving: Path, options: tuple[object, ...]
) -> None:
    outcome = mineralseg("register", fixed, moving, *options, "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert str(options[0]) in outcome.err

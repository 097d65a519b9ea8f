"""Views are brought on one grid by measurement, or refused with the sample's name and the reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mineralseg.core.legend import IGNORE
from mineralseg.core.progress import silent
from mineralseg.errors import ConfigurationError, Refused
from mineralseg.io.files import read_json
from mineralseg.io.raster import open_raster, read_mask
from mineralseg.io.tables import read_samples, write_samples
from mineralseg.stages.align import align_slides
from mineralseg.stages.ingest import ingest_slides
from mineralseg.stages.workspace import Workspace
from tests.workspaces import (
    REGISTER,
    change_params,
    copy_of,
    make_slides,
    make_workspace,
    prepare,
    raw_image,
    write_tiff,
)

SIZE_PX = 288
SAMPLES = ["S01a", "S01b", "S02a", "S02b", "S03a", "S03b"]


@pytest.fixture(scope="module")
def registered_once(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("register")
    make_slides(folder / "set", size_px=SIZE_PX, seed=11)
    workspace = make_workspace(folder / "ws", folder / "set")
    change_params(workspace, {"align": REGISTER})
    prepare(workspace)
    return workspace


@pytest.fixture
def registered(registered_once: Workspace, tmp_path: Path) -> Workspace:
    return copy_of(registered_once, tmp_path / "ws")


def pixels_of(path: Path) -> np.ndarray:
    with open_raster(path) as raster:
        return raster.read_all()


def realign(workspace: Workspace) -> dict[str, object]:
    params = workspace.params()
    ingest_slides(params, workspace, progress=silent)
    return align_slides(params, workspace, progress=silent)


def test_every_view_is_where_the_truth_says(registered_once: Workspace) -> None:
    for sample in SAMPLES:
        row = read_json(registered_once.aligned / sample / "XPL45.registration.json")
        transforms = read_json(registered_once.raw / sample / "truth" / "transforms.json")
        truth = np.array(transforms["views"]["XPL45"])
        corners = np.array([[20, 20, 1], [260, 20, 1], [20, 260, 1], [260, 260, 1]])
        apart = (corners @ np.array(row["moving_to_fixed"]).T - corners @ truth.T)[:, :2]
        assert row["verdict"] == "accepted"
        assert np.sqrt((apart**2).sum(axis=1).mean()) < 0.8  # small views have few places
        assert row["residual_px"] < 1.0
        assert row["residual_um"] == pytest.approx(1.5 * row["residual_px"], rel=1e-3)


def test_labels_are_void_where_a_view_has_no_pixels(registered_once: Workspace) -> None:
    for sample in SAMPLES:
        valid = pixels_of(registered_once.aligned / sample / "valid.tif")[..., 0] > 0
        labels = read_mask(registered_once.labels / sample / "label.tif")
        assert 0 < np.count_nonzero(~valid) < 0.1 * valid.size
        assert (labels[~valid] == IGNORE).all()
        assert (labels[valid] != IGNORE).all()
        assert not pixels_of(registered_once.aligned / sample / "XPL45.tif")[~valid].any()


def test_the_reference_keeps_every_bit(registered_once: Workspace) -> None:
    raw, aligned = raw_image(registered_once, "S02a"), registered_once.aligned / "S02a" / "PPL.tif"
    assert np.array_equal(pixels_of(raw), pixels_of(aligned))


def test_the_report_sums_up_the_evidence(registered_once: Workspace) -> None:
    report = read_json(registered_once.report("align"))
    rows = [read_json(registered_once.aligned / s / "XPL45.registration.json") for s in SAMPLES]
    assert report["residual_px_worst"] == max(row["residual_px"] for row in rows)
    assert report["score_lowest"] == min(row["score"] for row in rows)
    assert report["dropped"] == []
    page = (registered_once.alignment / "index.html").read_text()
    places = [
        page.index(f'id="{sample}-XPL45"')
        for sample in sorted(SAMPLES, key=lambda s: -rows[SAMPLES.index(s)]["residual_px"])
    ]
    assert places == sorted(places)
    for sample in SAMPLES:
        assert (registered_once.alignment / f"{sample}_XPL45.png").is_file()


def test_a_second_run_registers_nothing_again(registered: Workspace) -> None:
    assert realign(registered)["redone"] == []


def blank(workspace: Workspace) -> None:
    write_tiff(raw_image(workspace, "S02a", "XPL45"), np.full((SIZE_PX, SIZE_PX, 3), 90, np.uint8))


def burnt_out(workspace: Workspace) -> None:
    pixels = pixels_of(raw_image(workspace, "S02a", "XPL45")).astype(int)
    write_tiff(raw_image(workspace, "S02a", "XPL45"), np.clip(60 + 6 * pixels, 0, 255).astype(np.uint8))


def swapped(workspace: Workspace) -> None:
    plane, crossed = raw_image(workspace, "S02a", "PPL"), raw_image(workspace, "S02a", "XPL45")
    plane.rename(plane.with_name("t"))
    crossed.rename(plane)
    plane.with_name("t").rename(crossed)


def turned_too_far(workspace: Workspace) -> None:
    path = raw_image(workspace, "S02a", "XPL45")
    write_tiff(path, np.ascontiguousarray(np.rot90(pixels_of(path))))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (blank, "XPL45: it is blank"),
        (burnt_out, "XPL45: it is overexposed"),
        (swapped, "have they each other's names"),
        (turned_too_far, "XPL45: it seems turned by"),
    ],
)
def test_a_bad_view_stops_the_pipeline_with_its_sample_and_the_reason(
    registered: Workspace, damage: Callable[[Workspace], None], says: str
) -> None:
    damage(registered)
    with pytest.raises(Refused) as caught:
        realign(registered)
    assert "sample S02a" in str(caught.value)
    assert says in str(caught.value)
    assert "reports/alignment/index.html" in str(caught.value)
    page = (registered.alignment / "index.html").read_text()
    first_row = page[page.index("<td>") :]
    assert first_row.index("S02a") < first_row.index("S01a")
    assert not (registered.aligned / "S02a" / "XPL45.tif").exists()
    assert (registered.aligned / "S01a" / "XPL45.tif").exists()


def test_a_view_of_another_rock_is_refused(registered: Workspace) -> None:
    for name in ("S02a", "S02b"):  # both fields of one specimen, so that no image is of two specimens
        path = raw_image(registered, name, "XPL45")
        other = pixels_of(raw_image(registered, "S03b" if name == "S02a" else "S03a", "XPL45"))
        write_tiff(path, other[::-1, ::-1].copy()[:, ::-1].copy())
    with pytest.raises(Refused, match="another field"):
        realign(registered)


def test_refused_samples_are_dropped_when_told_to(registered: Workspace) -> None:
    blank(registered)
    change_params(registered, {"align": REGISTER | {"when_refused": "drop"}})
    prepare(registered)
    left = [sample for sample in SAMPLES if sample != "S02a"]
    assert read_json(registered.report("align"))["dropped"] == ["S02a"]
    assert read_json(registered.report("label"))["samples"] == 5
    parts = read_json(registered.splits)["parts"]
    assert sorted(sample for part in parts.values() for sample in part) == left


def test_a_dropped_sample_cannot_be_held_out_by_name(registered: Workspace) -> None:
    blank(registered)
    split = {"kind": "sample_holdout", "val": ["S03a"], "test": ["S02a"]}
    change_params(registered, {"align": REGISTER | {"when_refused": "drop"}, "split": split})
    with pytest.raises(ConfigurationError, match="S02a held out by name"):
        prepare(registered)


def test_another_view_can_be_the_reference_of_a_sample(registered: Workspace) -> None:
    rows = read_samples(registered.samples_file)
    changed = [replace(row, reference="XPL45") if row.sample == "S01b" else row for row in rows]
    write_samples(registered.samples_file, changed)
    assert read_samples(registered.samples_file) == changed
    assert realign(registered)["redone"] == ["S01b"]
    assert (registered.aligned / "S01b" / "PPL.registration.json").is_file()
    raw = pixels_of(raw_image(registered, "S01b", "XPL45"))
    assert np.array_equal(raw, pixels_of(registered.aligned / "S01b" / "XPL45.tif"))


def test_views_of_other_sizes_are_registered(registered: Workspace) -> None:
    path = raw_image(registered, "S03a", "XPL45")
    write_tiff(path, pixels_of(path)[10:270, 5:280].copy())
    assert realign(registered)["redone"] == ["S03a"]
    row = read_json(registered.aligned / "S03a" / "XPL45.registration.json")
    assert row["verdict"] == "accepted"
    assert 0.8 < row["covered"] < 0.95
    assert pixels_of(registered.aligned / "S03a" / "XPL45.tif").shape == (SIZE_PX, SIZE_PX, 3)

"""The page of an alignment: every view of every sample, worst first, with its evidence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mineralseg.config.data import AlignByRegistration, AlignIdentity
from mineralseg.core.geometry import PixelSize
from mineralseg.core.registration import Registration
from mineralseg.core.slide import ImageFile, Slide
from mineralseg.core.transforms import Transform
from mineralseg.io.raster_writer import write_png
from mineralseg.stages.alignment_evidence import write_alignment_report
from mineralseg.stages.workspace import Workspace
from tests.stages.pages import StandalonePage

GATES = AlignByRegistration(
    kind="register",
    reference="PPL",
    turned="polars",
    max_rotation_deg=5,
    max_scale_change=0.05,
    max_residual_px=1.75,
    min_score=0.35,
    when_refused="drop",
)


def slide(sample: str, views: tuple[str, ...] = ("PPL", "XPL45")) -> Slide:
    images = {view: ImageFile(f"{sample}/image/{view}.tif", "0" * 64, 60, 80, 3) for view in views}
    return Slide(sample, sample, "PPL", images, None, PixelSize.unknown())


def view(
    residual_px: float, *, um: float | None = None, reason: str = "", rotation_deg: float = 1.25
) -> dict[str, Any]:
    transform = Transform.similarity(
        "XPL45",
        "PPL",
        rotation_deg=rotation_deg,
        scale=1.01,
        shift_xy_px=(8.5, -3.2),
        centre_xy_px=(39.5, 29.5),
    )
    found = Registration(
        "refused" if reason else "accepted",
        reason,
        "features, similarity",
        transform,
        None,
        residual_px,
        123,
        0.61,
    )
    return found.to_row() | {"reference": "PPL", "residual_um": um, "covered": None if reason else 0.9876}


def nothing(reason: str) -> dict[str, Any]:
    row = Registration("refused", reason, "none").to_row()
    return row | {"reference": "PPL", "residual_um": None, "covered": None}


def page_of(
    root: Path, views: dict[str, dict[str, Any]], *, align: AlignByRegistration | AlignIdentity = GATES
) -> StandalonePage:
    workspace = Workspace(root)
    for sample, row in views.items():
        if row["moving_to_fixed"] is not None:
            write_png(workspace.aligned / sample / "XPL45.png", np.full((20, 30, 3), 90, np.uint8))
    records = {sample: {"views": {"XPL45": row}} for sample, row in views.items()}
    write_alignment_report(workspace, align, [slide(sample) for sample in views], records)
    return StandalonePage(workspace.alignment)


def test_each_view_is_shown_with_all_that_was_measured(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"A1": view(0.314, um=0.237)})
    (row,) = page.rows
    assert row == {
        "Sample": "A1",
        "View on": "XPL45 on PPL",
        "Verdict": "accepted",
        "Residual px": "0.31",
        "µm": "0.24",
        "Score": "0.61",
        "Places": "123",
        "Turn °": "1.25",
        "Scale": "1.0100",
        "Shift px": "+8.5, -3.2",
        "Covered %": "98.8",
        "Found by": "features, similarity",
    }
    assert page.pictures == ["A1_XPL45.png"]


def test_no_micrometres_are_shown_where_the_pixel_size_is_unknown(tmp_path: Path) -> None:
    assert page_of(tmp_path, {"A1": view(0.314)}).rows[0]["µm"] == "–"


def test_refused_views_come_first_then_the_largest_residuals(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        {
            "A": view(0.2),
            "B": view(0.9),
            "C": view(3.0, reason="matched places lie 3 px apart"),
            "D": nothing("it is blank"),
            "E": view(0.5),
        },
    )
    order = [row["Sample"] for row in page.rows]
    assert set(order[:2]) == {"C", "D"}
    assert order[2:] == ["B", "E", "A"]
    assert [row["Verdict"] for row in page.rows] == ["refused"] * 2 + ["accepted"] * 3


def test_gates_reasons_and_samples_left_out_are_told(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"A": view(0.2), "B": nothing("it is blank: no grain shows")})
    assert "at most 1.75 px" in page.text
    assert "at least 0.35" in page.text
    assert "it is blank: no grain shows" in page.text
    assert "left out" in page.text
    assert page.pictures == ["A_XPL45.png"]


@pytest.mark.parametrize("sample", ["field 1", "K-fsp 50% & #1 ü"])
def test_names_that_mean_something_in_html_and_urls_are_shown_as_they_are(
    tmp_path: Path, sample: str
) -> None:
    page = page_of(tmp_path, {sample: view(0.2)})
    assert page.rows[0]["Sample"] == sample
    assert page.pictures == [f"{sample}_XPL45.png"]


def test_pictures_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    page_of(tmp_path, {"A": view(0.2), "B": view(0.3)})
    page_of(tmp_path, {"A": view(0.2)})
    assert {path.name for path in Workspace(tmp_path).alignment.iterdir()} == {"index.html", "A_XPL45.png"}


def test_views_taken_as_aligned_are_said_to_be_unmeasured(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_alignment_report(workspace, AlignIdentity(kind="identity"), [slide("A")], {"A": {"views": {}}})
    page = StandalonePage(workspace.alignment)
    assert "Nothing was measured" in page.text
    assert page.pictures == []

"""The page of the labels: what became of every mask, worst first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mineralseg.core.legend import Legend, Mineral
from mineralseg.core.registration import Registration
from mineralseg.core.transforms import Transform
from mineralseg.io.raster_writer import write_png
from mineralseg.stages.labelling_evidence import write_labelling_report
from mineralseg.stages.workspace import Workspace
from tests.stages.pages import StandalonePage

LEGEND = Legend.of(
    [Mineral(0, "pore", "#78b4ff"), Mineral(3, "quartz", "#f5e6a0"), Mineral(7, "clay", "#7a5b3a")]
)
STRANGE = {
    "color": "#102030",
    "pixels": 12_345,
    "percent": 1.25,
    "first_xy": [10, 20],
    "nearest": "clay",
    "nearest_color": "#7a5b3a",
    "levels": 44,
}
PLACED = Registration(
    "accepted",
    "",
    "edges, affine",
    Transform.similarity("map", "image", rotation_deg=-2, scale=7.5, shift_xy_px=(3, 4), centre_xy_px=(0, 0)),
    None,
    3.21,
    99,
    0.72,
).to_row()
WRONG_ROCK = Registration("refused", "no orientation matches better than the others", "edges").to_row()


def record(*counts: int, **changes: Any) -> dict[str, Any]:
    plain = {"void_percent": 2.5, "edge_percent": 0.25, "unmapped_percent": 0.0, "strange": [], "map": None}
    return {"counts": list(counts), **plain, **changes}


def page_of(root: Path, records: dict[str, dict[str, Any]]) -> StandalonePage:
    workspace = Workspace(root)
    for sample, each in records.items():
        if each["map"] is not None and each["map"]["moving_to_fixed"] is not None:
            write_png(workspace.labels / sample / "map.png", np.full((20, 30, 3), 90, np.uint8))
    write_labelling_report(workspace, LEGEND, records)
    return StandalonePage(workspace.labelling)


def test_shares_are_shown_in_colours_and_said_in_words(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"A": record(50, 150, 0)})
    assert page.spoken == ["pore 25.0 %, quartz 75.0 %"]
    (row,) = page.rows
    assert (row["Sample"], row["Void %"], row["Smoothed edges %"], row["Unmapped %"]) == (
        "A",
        "2.5",
        "0.25",
        "0.00",
    )
    for mineral in LEGEND.minerals:
        assert mineral.name in page.text
    assert "Map" not in row


def test_unmapped_colours_are_listed_with_the_nearest_class(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"A": record(5, 5, 5, unmapped_percent=1.25, strange=[STRANGE])})
    assert ["#102030", "12,345", "1.250", "10, 20", "clay", "44"] in page.cells


def test_maps_are_shown_with_their_registration(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"A": record(5, 5, 5, map=PLACED)})
    (row,) = page.rows
    assert row["Map"] == "accepted"
    assert (row["Residual map px"], row["Score"], row["Scale"]) == ("0.43", "0.72", "7.500")  # 3.21 / 7.5
    assert row["Turn °"].startswith("-2.00")
    assert page.pictures == ["A_map.png"]


def test_a_refused_map_says_why_even_without_a_picture(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"A": record(5, 5, 5, map=PLACED), "B": record(0, 0, 0, map=WRONG_ROCK)})
    assert [row["Sample"] for row in page.rows] == ["B", "A"]
    assert "no orientation matches better than the others" in page.text
    assert page.pictures == ["A_map.png"]


def test_the_worst_come_first(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        {
            "A": record(5, 5, 5),
            "B": record(5, 5, 5, void_percent=30.0),
            "C": record(5, 5, 5, unmapped_percent=0.4),
            "D": record(5, 5, 5, unmapped_percent=4.0),
        },
    )
    assert [row["Sample"] for row in page.rows] == ["D", "C", "B", "A"]


@pytest.mark.parametrize("sample", ["field 1", "K-fsp 50% & #1 ü"])
def test_names_that_mean_something_in_html_and_urls_are_shown_as_they_are(
    tmp_path: Path, sample: str
) -> None:
    page = page_of(tmp_path, {sample: record(5, 5, 5, map=PLACED)})
    assert page.rows[0]["Sample"] == sample
    assert page.pictures == [f"{sample}_map.png"]


def test_a_mask_without_any_label_has_no_shares(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"A": record(0, 0, 0, void_percent=100.0)})
    assert page.rows[0]["Void %"] == "100.0"
    assert page.spoken == [""]

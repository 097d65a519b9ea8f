"""What a person sees of the labels: shares, strange colours, maps on their views; the worst first."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import Legend
from mineralseg.core.registration import Registration
from mineralseg.core.slide import Slide
from mineralseg.io.files import write_atomic
from mineralseg.io.raster_writer import write_png
from mineralseg.stages.pages import copied_picture, render
from mineralseg.stages.pictures import picture_of_map
from mineralseg.stages.workspace import Workspace

_PICTURE_NAME = "map.png"


@dataclass(frozen=True)
class Part:
    """The share of one class among the labelled pixels of a sample."""

    name: str
    color: str
    percent: float


@dataclass(frozen=True)
class LabellingRow:
    """One sample as the page shows it."""

    sample: str
    parts: tuple[Part, ...]
    void_percent: float
    edge_percent: float
    unmapped_percent: float
    strange: list[dict[str, Any]]
    map: dict[str, Any] | None
    picture: str

    @property
    def anchor(self) -> str:
        """Where on the page its details are."""
        return self.sample

    @property
    def spoken(self) -> str:
        """The shares in words."""
        return ", ".join(f"{part.name} {part.percent} %" for part in self.parts)


def write_map_picture(
    folder: Path,
    slide: Slide,
    aligned: Path,
    map_HW: NDArray[np.uint8],
    placed: Registration,
    legend: Legend,
) -> None:
    """Write the outlines of a map on the reference view of its sample, if a transform was found."""
    if placed.moving_to_fixed is not None:
        colors = np.array([mineral.rgb for mineral in legend.minerals], np.uint8)
        picture = picture_of_map(aligned / f"{slide.reference}.tif", map_HW, placed, colors)
        write_png(folder / _PICTURE_NAME, picture)


def write_labelling_report(
    workspace: Workspace, legend: Legend, records: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write reports/labelling: index.html and the pictures it shows."""
    if workspace.labelling.exists():
        shutil.rmtree(workspace.labelling)
    rows = sorted(
        (
            _row(
                sample,
                record,
                legend,
                copied_picture(
                    workspace.labels / sample / _PICTURE_NAME, workspace.labelling, f"{sample}_map.png"
                ),
            )
            for sample, record in sorted(records.items())
        ),
        key=lambda row: (-_refused(row), -row.unmapped_percent, -row.void_percent),
    )
    maps = any(row.map is not None for row in rows)
    page = render("labelling.html", rows=rows, minerals=legend.minerals, maps=maps)
    write_atomic(workspace.labelling / "index.html", page.encode())


def _refused(row: LabellingRow) -> bool:
    return row.map is not None and row.map["verdict"] == "refused"


def _row(sample: str, record: Mapping[str, Any], legend: Legend, picture: str) -> LabellingRow:
    total = max(sum(record["counts"]), 1)
    return LabellingRow(
        sample=sample,
        parts=tuple(
            Part(mineral.name, mineral.color, round(100 * count / total, 1))
            for mineral, count in zip(legend.minerals, record["counts"], strict=True)
            if count
        ),
        void_percent=record["void_percent"],
        edge_percent=record["edge_percent"],
        unmapped_percent=record["unmapped_percent"],
        strange=record["strange"],
        map=record["map"],
        picture=picture,
    )

"""What a person sees of an alignment: a picture of every view, and the page that shows the worst first."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mineralseg.config.data import AlignByRegistration, AlignSection
from mineralseg.core.registration import Registration
from mineralseg.core.slide import Slide
from mineralseg.io.files import write_atomic
from mineralseg.io.raster_writer import write_png
from mineralseg.stages.pages import copied_picture, render
from mineralseg.stages.pictures import picture_of_views
from mineralseg.stages.workspace import Workspace


@dataclass(frozen=True)
class AlignmentRow:
    """One view of one sample as the page shows it."""

    sample: str
    view: str
    reference: str
    accepted: bool
    verdict: str
    reason: str
    method: str
    rotation_deg: float | None
    scale: float | None
    shift: str
    residual_px: float | None
    residual_um: float | None
    inliers: int
    score: float
    covered_percent: float | None
    picture: str

    @property
    def anchor(self) -> str:
        """Where on the page its picture is."""
        return f"{self.sample}-{self.view}"


def write_evidence(path: Path, *, slide: Slide, view: str, registration: Registration, raw: Path) -> None:
    """Write the picture of a view on the reference of its sample, if a transform was found."""
    if registration.moving_to_fixed is None:
        return
    fixed, moving = raw / slide.views[slide.reference].path, raw / slide.views[view].path
    write_png(path, picture_of_views(fixed, moving, registration, names=(slide.reference, view)))


def write_alignment_report(
    workspace: Workspace,
    align: AlignSection,
    slides: Sequence[Slide],
    records: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write reports/alignment: index.html and the pictures it shows."""
    folder = workspace.alignment
    if folder.exists():
        shutil.rmtree(folder)
    rows = sorted(
        (
            _row(
                slide,
                view,
                row,
                copied_picture(
                    workspace.aligned / slide.sample / f"{view}.png",
                    workspace.alignment,
                    f"{slide.sample}_{view}.png",
                ),
            )
            for slide in slides
            for view, row in records[slide.sample]["views"].items()
        ),
        key=lambda row: (row.accepted, -_badness(row), row.sample),
    )
    page = render(
        "alignment.html",
        gates=align if isinstance(align, AlignByRegistration) else None,
        rows=rows,
        refused=sorted({row.sample for row in rows if not row.accepted}),
        samples=len(slides),
    )
    write_atomic(folder / "index.html", page.encode())


def _badness(row: AlignmentRow) -> float:
    return math.inf if row.residual_px is None else row.residual_px


def _row(slide: Slide, view: str, row: Mapping[str, Any], picture: str) -> AlignmentRow:
    matrix, covered = row["moving_to_fixed"], row["covered"]
    return AlignmentRow(
        sample=slide.sample,
        view=view,
        reference=row["reference"],
        accepted=row["verdict"] == "accepted",
        verdict=row["verdict"],
        reason=row["reason"],
        method=row["method"],
        rotation_deg=row["rotation_deg"],
        scale=row["scale"],
        shift="–" if matrix is None else _shift(matrix, slide.views[view].width, slide.views[view].height),
        residual_px=row["residual_px"],
        residual_um=row["residual_um"],
        inliers=row["inliers"],
        score=row["score"],
        covered_percent=None if covered is None else 100 * covered,
        picture=picture,
    )


def _shift(matrix: Sequence[Sequence[float]], width: int, height: int) -> str:
    """Return by how much the centre of the moving view is moved."""
    x, y = (width - 1) / 2, (height - 1) / 2
    moved = [row[0] * x + row[1] * y + row[2] for row in matrix[:2]]
    return f"{moved[0] - x:+.1f}, {moved[1] - y:+.1f}"

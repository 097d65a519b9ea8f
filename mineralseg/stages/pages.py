"""Pages that a stage writes: one look, no script, nothing loaded from elsewhere."""

import math
import shutil
from pathlib import Path
from typing import Any

import jinja2

from mineralseg.io.files import writing


def render(template: str, **values: Any) -> str:
    """Return a page as HTML from a template of this package."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mineralseg.stages", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = _percent
    environment.filters["number"] = _number
    return environment.get_template(template).render(**values)


def copied_picture(picture: Path, folder: Path, name: str) -> str:
    """Copy a picture into the folder of a page and return its name there, empty when there is none."""
    if not picture.is_file():
        return ""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, folder / name)
    return name


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero

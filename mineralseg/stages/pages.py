"""Pages that a stage writes: one look, no script, nothing loaded from elsewhere."""

import math
from typing import Any

import jinja2


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


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero

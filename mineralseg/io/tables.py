"""The small text files a person edits: YAML, the legend, the table of samples."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

import yaml

from mineralseg.core.geometry import PixelSize
from mineralseg.core.legend import IGNORE, Legend, Mineral
from mineralseg.core.slide import Illumination
from mineralseg.core.split import Part, SampleRow
from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.io.files import read_json, read_text, write_atomic

LEGEND_NAMES = ("legend.yaml", "classes.json", "legend.csv", "classes.csv")
"""Where a legend is looked for, in this order."""


class _StrictLoader(yaml.SafeLoader):
    """YAML as a person means it: plain values, keys are text and stand once, and `1e-3` is a number.

    Tags would name types and code; aliases let a few lines spell gigabytes, or a list that holds itself.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        what = "an alias" if isinstance(event, yaml.AliasEvent) else "a tag" if event.tag else None
        if what is not None:
            raise yaml.MarkedYAMLError(problem=f"{what} stands in line {event.start_mark.line + 1}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"key {key!r} in line {line} is not text")
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} stands in line {seen[key]} and again in line {line}"
                )
            seen[key] = line
        return super().construct_mapping(node, deep)


class _StrictDumper(yaml.SafeDumper):
    """Writes what `_StrictLoader` reads as the same value: the text `1e3` in quotes, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _each in (_StrictLoader, _StrictDumper):
    _each.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


def read_yaml(path: Path) -> Any:
    """Return the plain values of a YAML file.

    Raises:
        ConfigurationError: missing, not YAML, a key twice, a tag, an alias, or nested too deep.
    """
    if not path.is_file():
        raise ConfigurationError(path, found="no such file", fix="`mineralseg init` writes one")
    return parse_yaml(read_text(path), source=path)


def parse_yaml(text: str, *, source: object) -> Any:
    """Return the plain values that YAML `text` spells; `source` is the name for messages."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader subclass
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a day like 2026-13-01
        raise ConfigurationError(source, found=f"not valid YAML: {' '.join(str(error).split())}") from None


def write_yaml(path: Path, value: object) -> None:
    """Write plain values as YAML, keys in the order given."""
    text: str = yaml.dump(value, Dumper=_StrictDumper, sort_keys=False, allow_unicode=True)
    write_atomic(path, text.encode())


def find_legend(folder: Path) -> Path:
    """Return the legend file of a folder: legend.yaml, classes.json, legend.csv or classes.csv."""
    for name in LEGEND_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise DataFault(
        folder,
        found="no legend",
        expected=f"one of {', '.join(LEGEND_NAMES)}",
        fix="list every class with its code, name and colour",
    )


def read_legend(path: Path) -> Legend:
    """Return the legend in a YAML, JSON or CSV file.

    YAML and JSON hold a list of classes, bare or under `classes`; CSV has a header. A class has `code`
    (or `id`), `name`, `color` (or `colour`, `hex`) and, if known, `density_g_cm3`.
    """
    match path.suffix.lower():
        case ".yaml" | ".yml":
            content = read_yaml(path)
        case ".json":
            content = read_json(path)
        case ".csv":
            content = read_csv(path)
        case _:
            raise DataFault(
                path, found=f"a {path.suffix} file", expected="legend.yaml, classes.json or a CSV"
            )
    if isinstance(content, dict):
        ignore = content.get("ignore_id", IGNORE)
        if ignore != IGNORE:
            raise DataFault(path, found=f"ignore_id {ignore}", expected=f"{IGNORE}", fix="recode the masks")
        content = content.get("classes")
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataFault(path, found="no list of classes", expected="rows with code, name and color")
    return Legend.of(_mineral(path, number, row) for number, row in enumerate(content, 1))


def write_legend(path: Path, legend: Legend) -> None:
    """Write a legend as legend.yaml."""
    write_yaml(path, {"classes": legend.to_rows()})


def read_samples(path: Path) -> list[SampleRow]:
    """Return the rows of samples.csv, all faults at once.

    Columns are sample, specimen, split, pixel_size_um and reference; only the first must be filled.
    """
    rows, faults = [], []
    for line, row in read_csv_lines(path):
        try:
            rows.append(_sample_row(row))
        except (ValueError, DataFault) as error:
            faults.append(f"line {line}: {error}")
    names = [row.sample for row in rows]
    faults += [f"sample {name} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if faults or not rows:
        raise ConfigurationError(path, found="; ".join(faults) or "no samples")
    return rows


def write_samples(path: Path, rows: Sequence[SampleRow]) -> None:
    """Write samples.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    stated = any(row.reference for row in rows)
    writer.writerow(["sample", "specimen", "split", "pixel_size_um"] + ["reference"] * stated)
    for row in rows:
        cells = [row.sample, row.specimen, row.part or "", row.pixel_size_um or ""]
        writer.writerow(cells + [row.reference or ""] * stated)
    write_atomic(path, text.getvalue().encode())


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table with one header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV as `read_csv_lines` does, without their lines."""
    return [row for _, row in read_csv_lines(path)]


def read_csv_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return line and cells of each row of a CSV with a header, cells by column name in lower case.

    Semicolons and commas both divide; empty lines are passed over, and counted.

    Raises:
        ConfigurationError: missing, not CSV, a column twice, or a row with more cells than the header.
    """
    if not path.is_file():
        raise ConfigurationError(path, found="no such file", fix="`mineralseg init` writes one")
    text = read_text(path).lstrip("\ufeff")
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        twice = sorted({name for name in columns if name and columns.count(name) > 1})
        if twice:
            raise ValueError(f"column {', '.join(twice)} stands twice")
        return [
            (reader.line_num, _csv_row(columns, cells, reader.line_num)) for cells in reader if any(cells)
        ]
    except (csv.Error, ValueError) as error:
        raise ConfigurationError(path, found=str(error), expected="a table with one header line") from None


def _csv_row(columns: Sequence[str], cells: Sequence[str], line: int) -> dict[str, str]:
    if any(cell.strip() for cell in cells[len(columns) :]):
        raise ValueError(f"line {line} has {len(cells)} cells under {len(columns)} columns")
    return {name: cell.strip() for name, cell in zip_longest(columns, cells[: len(columns)], fillvalue="")}


def _mineral(path: Path, number: int, row: dict[str, Any]) -> Mineral:
    values = {str(key).strip().lower(): value for key, value in row.items()}
    code = values.get("code", values.get("id"))
    color = values.get("color", values.get("colour", values.get("hex")))
    density = values.get("density_g_cm3")
    try:
        return Mineral(
            int(str(code)),
            _given(values["name"]),
            str(color).strip().lower(),
            None if density in (None, "") else float(str(density)),
        )
    except (KeyError, ValueError):
        raise DataFault(
            path,
            found=f"class {number} is {row}",
            expected="a whole number `code`, a `name` and a `color` like #78b4ff",
        ) from None


def _given(value: object) -> str:
    if value is None:
        raise ValueError("nothing is given")
    return str(value).strip()


def _sample_row(row: dict[str, str]) -> SampleRow:
    sample = row.get("sample", "")
    if not re.fullmatch(r"[^\s/\\.][^/\\\n]{0,99}", sample):
        raise ValueError(f"sample {sample!r} is not a folder name")
    part = row.get("split", "") or None
    if part is not None and part not in get_args(Part):
        raise ValueError(f"split {part!r} of {sample} is not train, val or test")
    size = row.get("pixel_size_um", "")
    try:
        pixel_size_um = float(size) if size else None
    except ValueError:
        raise ValueError(f"pixel_size_um {size!r} of {sample} is not a number") from None
    if pixel_size_um is not None:
        PixelSize.declared(pixel_size_um)
    view = row.get("reference", "")
    return SampleRow(
        sample=sample,
        specimen=row.get("specimen") or sample,
        part=part,  # type: ignore[arg-type]
        pixel_size_um=pixel_size_um,
        reference=str(Illumination.parse(view)) if view else None,
    )

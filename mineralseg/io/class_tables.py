"""Tables of colours and codes, as QEMSCAN, TIMA, GeoSlicer, GIMP and spreadsheets write them."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mineralseg.core.class_table import RGB, TableRow
from mineralseg.errors import ConfigurationError
from mineralseg.io.files import read_bytes

_MAX_BYTES = 1 << 22
_DELIMITERS = {";": "semicolons", ",": "commas", "\t": "tabs"}
_WORDS = {
    "mineral": ("mineral", "name", "phase", "label", "nome", "mineral name", "phase name"),
    "red": ("r", "red"),
    "green": ("g", "green"),
    "blue": ("b", "blue"),
    "color": ("color", "colour", "hex", "rgb", "html", "cor", "hex color", "hex colour"),
    "class": ("class", "legend", "class name", "becomes"),
    "code": ("code", "id", "value", "index"),
}
_MAX_CODE = 65_535
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
_TRIPLE = re.compile(r"(?:rgb)?\(?\s*(\d{1,3})\s*[,; ]\s*(\d{1,3})\s*[,; ]\s*(\d{1,3})\s*\)?", re.IGNORECASE)
_GIMP_ROW = re.compile(r"\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})(?:\s+(.*\S))?\s*")

_Row = tuple[int, list[str]]


def read_color_table(path: Path) -> list[TableRow]:
    """Return the rows of a table of colours: a CSV or a GIMP palette (.gpl).

    A CSV has a mineral and a colour in each row: `#rrggbb`, or three columns red, green and blue; and, if
    minerals are to be merged, renamed or left out, a column `class`. Semicolons, commas or tabs divide;
    UTF-8, UTF-16 and Western (cp1252) text is read. Without a header the columns are mineral, red, green,
    blue or mineral, colour, class.

    Raises:
        ConfigurationError: missing, not such a table, or rows that are not, with their lines.
    """
    text = _decoded(path)
    if text.startswith("GIMP Palette"):
        return _gimp_rows(path, text)
    if text.startswith("JASC-PAL"):
        raise _fault(path, "a palette without names", "a table with a name for each colour")
    header, rows = _table(path, text)
    if header is None:
        header = _guessed_color_header(path, rows)
    if not {"mineral", "class"} & header.keys() or not (
        "color" in header or {"red", "green", "blue"} <= header.keys()
    ):
        found = f"the columns {', '.join(header) or 'of another table'}"
        raise _fault(path, found, "a column mineral, and color or red, green, blue")
    return _parsed(path, rows, header, key=lambda cells: _color(cells, header))


def read_code_table(path: Path) -> list[TableRow]:
    """Return the rows of a table of codes, a CSV with the columns code and class, perhaps mineral.

    Raises:
        ConfigurationError: missing, not such a table, or rows that are not, with their lines.
    """
    header, rows = _table(path, _decoded(path))
    if header is None:
        header = {"code": 0, "class": 1}
    if "code" not in header or not {"class", "mineral"} & header.keys():
        raise _fault(
            path, f"the columns {', '.join(header) or 'of another table'}", "the columns code and class"
        )
    return _parsed(path, rows, header, key=lambda cells: _code(cells[header["code"]]))


def _parsed(
    path: Path, rows: Sequence[_Row], header: dict[str, int], *, key: Callable[[list[str]], RGB | int]
) -> list[TableRow]:
    """Return the rows, or raise with every line that is wrong."""
    parsed, faults = [], []
    named = header.get("mineral", header.get("class", 0))
    for line, cells in rows:
        try:
            class_name = cells[header["class"]].strip() if "class" in header else None
            parsed.append(TableRow(line, key(cells), cells[named].strip(), class_name))
        except (ValueError, IndexError):
            faults.append(f"line {line}: {', '.join(cells)[:80]}")
    if faults or not parsed:
        listed = "; ".join(faults[:20]) or "no row"
        raise _fault(path, listed, "#rrggbb, or three numbers from 0 to 255; codes from 0 to 65535")
    return parsed


def _decoded(path: Path) -> str:
    """Return the text of a file in the first encoding that fits."""
    if not path.is_file():
        raise _fault(path, "no such file", "a table")
    data = read_bytes(path, max_bytes=_MAX_BYTES)
    if data.startswith(b"PK\x03\x04"):
        raise _fault(path, "a workbook of a spreadsheet program", "text: save the sheet as CSV (UTF-8)")
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not wide and b"\0" in data:
        raise _fault(path, "bytes that are no text", "UTF-8; UTF-16 needs its byte order mark")
    for encoding in ["utf-16"] if wide else ["utf-8-sig", "cp1252", "latin-1"]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise _fault(path, "text in an unknown encoding", "UTF-8")


def _table(path: Path, text: str) -> tuple[dict[str, int] | None, list[_Row]]:
    """Return the columns by meaning (None without a header) and the rows of a CSV with their lines."""
    rows = _divided(path, text)
    header = _header(rows[0][1])
    return header, rows if header is None else rows[1:]


def _divided(path: Path, text: str) -> list[_Row]:
    """Return the rows by the one delimiter that gives every row the same number of cells.

    Of several that do, one whose first row is a header is taken.
    """
    fitting = []
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            rows = [(reader.line_num, cells) for cells in reader if _is_row(cells)]
        except csv.Error:
            continue
        lengths = ({len(cells) for _, cells in rows}, {len(_trimmed(cells)) for _, cells in rows})
        if rows and any(len(length) == 1 and min(length) > 1 for length in lengths):
            fitting.append(rows)
    headed = [rows for rows in fitting if _header(rows[0][1]) is not None]
    chosen = headed or fitting
    if len(chosen) != 1:
        found = "rows of different lengths" if not chosen else "rows that more than one delimiter divides"
        listed = ", ".join(_DELIMITERS.values())
        raise _fault(path, found, f"the same number of cells in every row, divided by one of {listed}")
    return chosen[0]


def _is_row(cells: Sequence[str]) -> bool:
    """Return whether a line is a row: not empty, not a comment, not a spreadsheet's `sep=;`."""
    start = next((cell.strip() for cell in cells if cell.strip()), "")
    comment = start.startswith("#") and not _HEX.fullmatch(start.partition(";")[0].partition(",")[0].strip())
    return bool(start) and not comment and not start.lower().startswith("sep=")


def _trimmed(cells: Sequence[str]) -> list[str]:
    """Return cells without empty ones at the end, as spreadsheets append them; at least two are kept."""
    kept = list(cells)
    while len(kept) > 2 and not kept[-1].strip():
        kept.pop()
    return kept


def _header(cells: Sequence[str]) -> dict[str, int] | None:
    """Return the place of each column whose title is known, None when the first row is no header."""
    found: dict[str, int] = {}
    for place, cell in enumerate(cells):
        for meaning, words in _WORDS.items():
            if cell.strip().casefold() in words:
                found.setdefault(meaning, place)
    return found if len(found) >= 2 else None


def _guessed_color_header(path: Path, rows: Sequence[_Row]) -> dict[str, int]:
    """Return what the columns of a table without a header must be."""
    width = len(rows[0][1])
    if width == 4 and all(cell.strip().isdigit() for cell in rows[0][1][1:]):
        return {"mineral": 0, "red": 1, "green": 2, "blue": 3}
    first = [cell.strip() for cell in rows[0][1]]
    of_color = [place for place in range(min(width, 2)) if _HEX.fullmatch(first[place])]
    if width in (2, 3) and len(of_color) == 1:
        return {"mineral": 1 - of_color[0], "color": of_color[0]} | ({"class": 2} if width == 3 else {})
    raise _fault(path, f"no header, and {width} columns", "a header such as mineral,color,class")


def _color(cells: Sequence[str], header: dict[str, int]) -> RGB:
    if "color" not in header:
        return _rgb([cells[header[name]].strip() for name in ("red", "green", "blue")])
    text = cells[header["color"]].strip()
    match = _HEX.fullmatch(text)
    if match:
        value = int(match[1], 16)
        return value >> 16, value >> 8 & 0xFF, value & 0xFF
    triple = _TRIPLE.fullmatch(text)
    if triple is None:
        raise ValueError(text)
    return _rgb(triple.groups())


def _rgb(channels: Sequence[str]) -> RGB:
    red, green, blue = (int(channel) for channel in channels)
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError("channels from 0 to 255")
    return red, green, blue


def _code(text: str) -> int:
    code = int(text.strip())
    if not 0 <= code <= _MAX_CODE:
        raise ValueError("a code beyond 0..65535")
    return code


def _gimp_rows(path: Path, text: str) -> list[TableRow]:
    rows = []
    for line, content in enumerate(text.splitlines(), 1):
        match = _GIMP_ROW.fullmatch(content)
        if match is None:
            continue
        try:
            rows.append(TableRow(line, _rgb(match.groups()[:3]), match[4] or "a colour without a name", None))
        except ValueError as error:
            raise _fault(path, f"line {line}: {content.strip()[:80]}", str(error)) from None
    if not rows:
        raise _fault(path, "no colour with a name", "rows of red, green, blue and a mineral's name")
    return rows


def _fault(path: Path, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError(path, found=found, expected=expected, fix="see docs/how-to/masks-and-maps.md")

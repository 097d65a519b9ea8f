"""Which colour or code of a mask on disk is which class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mineralseg.core.legend import IGNORE, Legend
from mineralseg.errors import ConfigurationError

RGB = tuple[int, int, int]

NOT_USED = ("", "void", "ignore", "ignored", "not used", "unused", "none")
"""What a table says of a mineral that is no class: its pixels have no label."""

_MOST_TOLD = 20


@dataclass(frozen=True)
class TableRow:
    """A row of a table: its line, the colour or code, the mineral's name, and the class it becomes.

    `class_name` is None when the table has no such column; the mineral is then a class by its own name.
    """

    line: int
    key: RGB | int
    mineral: str
    class_name: str | None


@dataclass(frozen=True)
class Entry:
    """A colour (r, g, b) or a code, the mineral it stands for, and its class index (255: no label)."""

    key: RGB | int
    mineral: str
    index: int


@dataclass(frozen=True)
class ClassTable:
    """The entries of a table. Law: no colour and no code stands twice; every class is one of the legend."""

    entries: tuple[Entry, ...]
    source: str

    @classmethod
    def colors_of(cls, legend: Legend, *, source: str) -> "ClassTable":
        """Return the table in which each class has its colour in the legend."""
        entries = (Entry(mineral.rgb, mineral.name, index) for index, mineral in enumerate(legend.minerals))
        return cls(tuple(entries), source)

    @classmethod
    def codes_of(cls, legend: Legend, *, source: str) -> "ClassTable":
        """Return the table in which each class has its code in the legend, and 255 is no label."""
        entries = [Entry(mineral.code, mineral.name, index) for index, mineral in enumerate(legend.minerals)]
        return cls((*entries, Entry(IGNORE, "no label", IGNORE)), source)

    @classmethod
    def of(cls, rows: Iterable[TableRow], legend: Legend, *, source: str) -> "ClassTable":
        """Return the table that rows spell.

        Raises:
            ConfigurationError: lists every colour or code that stands twice and every unknown class.
        """
        rows = list(rows)
        index_of = {name.casefold(): index for index, name in enumerate(legend.names)}
        faults = list(_faults_of_keys(rows))
        entries = []
        for row in rows:
            name = row.mineral if row.class_name is None else row.class_name
            index = IGNORE if name.strip().casefold() in NOT_USED else index_of.get(name.strip().casefold())
            if index is None:
                faults.append(f"line {row.line}: {name!r} is no class of the legend")
            else:
                entries.append(Entry(row.key, row.mineral, index))
        if faults or not entries:
            more = f"; and {len(faults) - _MOST_TOLD} more" if len(faults) > _MOST_TOLD else ""
            raise ConfigurationError(
                source,
                found="; ".join(faults[:_MOST_TOLD]) + more or "no row",
                expected=f"each colour or code once, with a class of the legend ({', '.join(legend.names)})",
                fix="correct the table; a column `class` says what a mineral becomes, or `void`",
            )
        return cls(tuple(entries), source)

    def to_rows(self) -> list[list[object]]:
        """Return plain rows, equal for tables that mean the same."""
        return [[list(e.key) if isinstance(e.key, tuple) else e.key, e.index] for e in self.entries]


def hex_of(rgb: Sequence[int]) -> str:
    """Return a colour as `#rrggbb`."""
    return "#" + "".join(f"{channel:02x}" for channel in rgb)


def _faults_of_keys(rows: Sequence[TableRow]) -> Iterable[str]:
    first: dict[RGB | int, TableRow] = {}
    for row in rows:
        before = first.setdefault(row.key, row)
        if before is not row:
            what = f"colour {hex_of(row.key)}" if isinstance(row.key, tuple) else f"code {row.key}"
            yield (
                f"{what} stands for {before.mineral!r} in line {before.line} "
                f"and for {row.mineral!r} in line {row.line}"
            )

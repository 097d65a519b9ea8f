"""Tables of colours and codes as programs write them, and what is said of those that cannot be read."""

from pathlib import Path

import pytest

from mineralseg.core.class_table import ClassTable, TableRow
from mineralseg.core.legend import IGNORE, Legend, Mineral
from mineralseg.errors import ConfigurationError
from mineralseg.io.class_tables import read_code_table, read_color_table

LEGEND = Legend.of([Mineral(0, "Feldspar, potassic", "#112233"), Mineral(1, "Dolomía", "#445566")])
TWO = [(1, 2, 3), (250, 0, 4)]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "Mineral,R,G,B\nQuartz,1,2,3\nPyrite,250,0,4\n",
        "BLUE\tGreen\tred\tPhase\r\n3\t2\t1\tQuartz\r\n4\t0\t250\tPyrite\r\n",
        "name;hex\nQuartz;010203\nPyrite;#FA0004\n",
        'mineral,colour\nQuartz,"1,2,3"\nPyrite,"250, 0, 4"\n',
        "#010203,Quartz\n#fa0004,Pyrite\n",
        "Quartz;1;2;3\nPyrite;250;0;4\n",
        "sep=;\nmineral;color;;\nQuartz;#010203;;\n\nPyrite;#fa0004;;\n",
        "# colours of the map\nmineral;color\nQuartz;#010203\nPyrite;#fa0004\n",
        "GIMP Palette\nName: ores\nColumns: 2\n#\n  1   2   3\tQuartz\n250 0 4 Pyrite\n",
    ],
)
def test_a_table_is_read_however_it_is_spelled(tmp_path: Path, content: str) -> None:
    rows = read_color_table(written(tmp_path, content))
    assert [(row.key, row.mineral) for row in rows] == list(zip(TWO, ["Quartz", "Pyrite"], strict=True))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_seventy_names_with_commas_and_accents_survive(tmp_path: Path, encoding: str) -> None:
    names = [f"Fase nº {number} de Al, Si, Çá" for number in range(75)]
    lines = ["Mineral;R;G;B", *(f"{name};{number};0;{255 - number}" for number, name in enumerate(names))]
    rows = read_color_table(written(tmp_path, "\r\n".join(lines).encode(encoding)))
    assert [row.mineral for row in rows] == names
    assert [row.key for row in rows] == [(number, 0, 255 - number) for number in range(75)]
    assert [row.line for row in rows] == [*range(2, 77)]


def test_an_empty_class_is_not_used_and_several_minerals_merge(tmp_path: Path) -> None:
    content = (
        'mineral,color,class\nOrthoclase,#010203,"FELDSPAR, potassic"\n'
        'Sanidine,#010204,"feldspar, potassic"\nResin,#010205,\nDolomite,#010206,dolomía\n'
    )
    table = ClassTable.of(read_color_table(written(tmp_path, content)), LEGEND, source="t")
    assert [entry.index for entry in table.entries] == [0, 0, IGNORE, 1]


def test_codes_are_read_with_and_without_header(tmp_path: Path) -> None:
    for content in ("ID;Name;class\n0;bg;void\n22;ccp;Dolomía\n", "0,void\n22,Dolomía\n"):
        rows = read_code_table(written(tmp_path, content))
        assert [(row.key, row.class_name) for row in rows] == [(0, "void"), (22, "Dolomía")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("mineral;r;g;b\nQuartz;1;2;3\nPyrite;1;2;300\n", "line 3: Pyrite, 1, 2, 300"),
        ("mineral;color\nQuartz;blue\n", "line 2: Quartz, blue"),
        ("mineral,color\nPhase of Al, Si,#010203\n", "rows of different lengths"),
        ("a;b,c;d\ne;f,g;h\n", "more than one delimiter"),
        ("mineral;code\nQuartz;2\n", "red, green, blue"),
        ("GIMP Palette\n300 0 0 Quartz\n", "line 2: 300 0 0"),
        ("JASC-PAL\n0100\n1\n1 2 3\n", "without names"),
        (b"PK\x03\x04 a workbook", "as CSV"),
        ("Mineral,R,G,B\nQuartz,1,2,3\n".encode("utf-16-le"), "byte order mark"),
        ("", "expected"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_color_table(written(tmp_path, content))
    assert "table.csv" in str(caught.value)


def test_a_colour_that_stands_twice_and_an_unknown_class_are_named_with_their_lines() -> None:
    rows = [
        TableRow(2, (1, 2, 3), "Orthoclase", "Feldspar, potassic"),
        TableRow(7, (1, 2, 3), "Sanidine", "Feldspar, potassic"),
        TableRow(9, (1, 2, 4), "Pyrite", None),
    ]
    with pytest.raises(ConfigurationError) as caught:
        ClassTable.of(rows, LEGEND, source="table t.csv")
    message = str(caught.value)
    for words in (
        "t.csv",
        "#010203",
        "'Orthoclase' in line 2",
        "'Sanidine' in line 7",
        "line 9: 'Pyrite'",
        "class",
    ):
        assert words in message

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.core.legend import Legend, Mineral
from mineralseg.core.split import SampleRow
from mineralseg.errors import ConfigurationError, DataFault, MineralsegError
from mineralseg.io.tables import (
    LEGEND_NAMES,
    find_legend,
    parse_yaml,
    read_csv,
    read_legend,
    read_samples,
    read_yaml,
    write_csv,
    write_legend,
    write_samples,
    write_yaml,
)
from tests.laws import LAW


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# YAML


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", "key 'a' stands in line 1 and again in line 3"),
        ("s:\n  x: 1\n  y: 2\n\n  x: 1\n", "key 'x' stands in line 2 and again in line 5"),
        ("- {k: 1, k: 2}\n", "key 'k' stands in line 1 and again in line 1"),
        ("a: !!python/object/apply:os.system [echo]\n", "a tag stands in line 1"),
        ("x: 1\na: !!timestamp nonsense\n", "a tag stands in line 2"),
        ("a: &x [1]\nb: *x\n", "an alias stands in line 2"),
        ("a: &x [*x]\n", "an alias stands in line 1"),
        ("1: a\n", "key 1 in line 1 is not text"),
        ("yes: a\n", "key True in line 1 is not text"),
        ("2026-01-02: a\n", "is not text"),
        ("[1, 2]: a\n", "is not text"),
        ("a: 2026-13-01\n", "month must be in 1..12"),
        ("a: [1, 2\n", "expected ',' or ']'"),
        ("a: b: c\n", "mapping values are not allowed"),
        ("a: \x07\n", "special characters are not allowed"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("[" * 5000 + "]" * 5000, "recursion"),
        ("a: " + "9" * 5000, "integer string conversion"),
    ],
)
def test_yaml_that_nobody_means_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match="not valid YAML") as caught:
        read_yaml(_written(tmp_path / "p.yaml", text))
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "p.yaml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2E5", -200_000.0),
        ("1.5e+3", 1500.0),
        ("1.e2", 100.0),
        ("0.001", 0.001),
        ("12", 12),
        ("e3", "e3"),
        ("1e", "1e"),
        ("'1e-3'", "1e-3"),
    ],
)
def test_numbers_are_numbers(text: str, value: object) -> None:
    read = parse_yaml(f"key: {text}", source="text")["key"]
    assert read == value
    assert type(read) is type(value)


def test_yaml_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "p.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(MineralsegError, match="UTF-8"):
        read_yaml(tmp_path / "p.yaml")


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "text", ["1e3", "0E0", "1.e2", "12", "yes", "2026-01-02", "=", "<<", "~", "a: b", "#"]
)
def test_text_that_looks_like_something_else_stays_text(tmp_path: Path, text: str) -> None:
    write_yaml(tmp_path / "p.yaml", {text: [text]})
    assert read_yaml(tmp_path / "p.yaml") == {text: [text]}


def test_a_value_that_stands_twice_is_written_twice(tmp_path: Path) -> None:
    shared = [1, 2]
    write_yaml(tmp_path / "p.yaml", {"a": shared, "b": shared})
    assert read_yaml(tmp_path / "p.yaml") == {"a": [1, 2], "b": [1, 2]}


@LAW
@given(PLAIN)
def test_yaml_keeps_plain_values(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "values.yaml"
    write_yaml(path, value)
    assert read_yaml(path) == value


# Legends

LEGEND = Legend.of(
    [Mineral(0, "epoxy", "#000000"), Mineral(7, "quartz", "#ffffff", 2.65), Mineral(9, "Пирит", "#e6c200")]
)

SPELLED: dict[str, str] = {
    "legend.yaml": (
        "classes:\n"
        "- {code: 7, name: quartz, color: '#FFFFFF', density_g_cm3: 2.65}\n"
        "- {code: 0, name: epoxy, color: '#000000'}\n"
        "- {code: 9, name: Пирит, color: '#e6c200', density_g_cm3: }\n"
    ),
    "bare.yml": (
        "- {id: 9, name: Пирит, hex: '#e6c200'}\n"
        "- {id: 0, name: ' epoxy ', colour: '#000000'}\n"
        "- {id: 7, name: quartz, colour: '#ffffff', density_g_cm3: 2.65}\n"
    ),
    "classes.json": json.dumps(
        {
            "ignore_id": 255,
            "raw_ids": "raw = 2*(id+1)",
            "classes": [
                {"id": 0, "name": "epoxy", "color": "#000000", "raw_id": 2},
                {"id": 7, "name": "quartz", "color": "#FFFFFF", "raw_id": 16, "density_g_cm3": 2.65},
                {"id": 9, "name": "Пирит", "color": "#E6C200", "raw_id": 20},
            ],
        }
    ),
    "comma.csv": "code,name,color,density_g_cm3\n0,epoxy,#000000,\n7,quartz,#FFFFFF,2.65\n9,Пирит,#e6c200,\n",
    "excel.csv": "\ufeffCode;Name;Color;Density_g_cm3;\r\n0;epoxy;#000000;;\r\n7;quartz;#ffffff;2.65;\r\n"
    "9;Пирит;#e6c200;;\r\n;;;;\r\n",
}


@pytest.mark.parametrize("name", SPELLED)
def test_a_legend_is_the_same_however_it_is_spelled(tmp_path: Path, name: str) -> None:
    assert read_legend(_written(tmp_path / name, SPELLED[name])) == LEGEND


def test_a_legend_survives_being_written(tmp_path: Path) -> None:
    write_legend(tmp_path / "legend.yaml", LEGEND)
    assert read_legend(tmp_path / "legend.yaml") == LEGEND


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("l.json", '{"ignore_id": 0, "classes": []}', "ignore_id 0; expected 255; recode the masks"),
        ("l.json", '{"minerals": []}', "no list of classes"),
        ("l.json", "[1, 2]", "no list of classes"),
        ("l.json", "[" * 100_000, "JSON"),
        ("l.json", '[{"code": NaN}]', "JSON"),
        ("l.json", "[{]", "JSON"),
        ("l.yaml", "", "no list of classes"),
        ("l.yaml", "- {code: x, name: a, color: '#000000'}", "class 1 is"),
        ("l.yaml", "- {code: 1.5, name: a, color: '#000000'}", "class 1 is"),
        ("l.yaml", "- {code: true, name: a, color: '#000000'}", "class 1 is"),
        ("l.yaml", "- {code: 1, color: '#000000'}", "class 1 is"),
        ("l.yaml", "- {code: 1, name: , color: '#000000'}", "class 1 is"),
        ("l.yaml", "- {code: 1, name: a}", "colour 'none'"),
        ("l.yaml", "- {code: 1, name: a, color: #000000\n }", "colour 'none'"),
        ("l.yaml", "- {code: 1, name: a, color: '#000000', density_g_cm3: heavy}", "class 1 is"),
        ("l.yaml", "- {code: 1, name: a, color: '#000000', density_g_cm3: .nan}", "density nan"),
        ("l.yaml", "- {code: 255, name: a, color: '#000000'}", "code 255"),
        ("l.csv", "code,name,color\n1,a,#000000\n1,b,#ffffff\n", "code 1 used twice"),
        ("l.csv", "code,name,color\n", "0 classes"),
        ("l.csv", "code,name,color\n1,a,#000000,2,3\n", "line 2 has 5 cells under 3 columns"),
        ("l.csv", "code,code,name\n1,2,a\n", "column code stands twice"),
        ("l.xlsx", "PK", "a .xlsx file"),
    ],
)
def test_a_legend_that_is_none_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises((DataFault, ConfigurationError)) as caught:
        read_legend(_written(tmp_path / name, text))
    assert says in str(caught.value)


def test_legends_are_found_in_a_fixed_order(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"no legend; expected one of legend\.yaml, classes\.json"):
        find_legend(tmp_path)
    for name in reversed(LEGEND_NAMES):
        _written(tmp_path / name, "")
        assert find_legend(tmp_path) == tmp_path / name


# Samples


def test_samples_are_read_with_what_is_left_out(tmp_path: Path) -> None:
    path = _written(
        tmp_path / "samples.csv",
        "sample,specimen,split,pixel_size_um\na1, rock A ,train,0.5\n\na2,rock A,,\nb 1,,test\n",
    )
    assert read_samples(path) == [
        SampleRow("a1", "rock A", "train", 0.5),
        SampleRow("a2", "rock A", None, None),
        SampleRow("b 1", "b 1", "test", None),
    ]


def test_one_column_is_a_table_of_samples(tmp_path: Path) -> None:
    assert read_samples(_written(tmp_path / "s.csv", "sample\nx\n")) == [SampleRow("x", "x")]


def test_all_faults_of_samples_are_told_at_once(tmp_path: Path) -> None:
    path = _written(
        tmp_path / "samples.csv",
        "sample,specimen,split,pixel_size_um\n"
        "ok,r,train,1\n"
        "../up,r,train,1\n"
        ".hidden,r,train,1\n"
        "x,r,training,1\n"
        "y,r,val,small\n"
        "z,r,val,nan\n"
        "w,r,val,-1\n"
        "ok,r,test,1\n",
    )
    with pytest.raises(ConfigurationError) as caught:
        read_samples(path)
    for says in (
        "line 3: sample '../up' is not a folder name",
        "line 4: sample '.hidden'",
        "line 5: split 'training' of x is not train, val or test",
        "line 6: pixel_size_um 'small' of y is not a number",
        "line 7: pixel size: nan um/px",
        "line 8: pixel size: -1.0 um/px",
        "sample ok is listed twice",
    ):
        assert says in str(caught.value)
    assert "line 2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no samples"),
        ("sample,specimen\n", "no samples"),
        ("sample\nx,y\n", "line 2 has 2 cells under 1 columns"),
        ("sample\n" + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        read_samples(_written(tmp_path / "samples.csv", text))


def test_a_missing_table_says_who_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file; `mineralseg init` writes one"):
        read_samples(tmp_path / "samples.csv")


PRINTED = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).map(
    str.strip
)
FOLDERS = PRINTED.filter(lambda name: name and name[0] != "." and not set(name) & set("/\\"))
SAMPLE_ROWS = st.builds(
    SampleRow,
    FOLDERS,
    PRINTED.filter(bool),
    st.sampled_from([None, "train", "val", "test"]),
    st.none() | st.floats(1e-4, 1e4),
)


@LAW
@given(st.lists(SAMPLE_ROWS, min_size=1, max_size=6, unique_by=lambda row: row.sample))
def test_samples_survive_being_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[SampleRow]
) -> None:
    path = tmp_path_factory.getbasetemp() / "samples.csv"
    write_samples(path, rows)
    assert read_samples(path) == rows


def test_tables_survive_being_written(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["a, b", 1], ['with "quotes"', 2.5], ["two\nlines", None]]
    write_csv(tmp_path / "t.csv", ["name", "value"], rows)
    assert read_csv(tmp_path / "t.csv") == [
        {"name": "a, b", "value": "1"},
        {"name": 'with "quotes"', "value": "2.5"},
        {"name": "two\nlines", "value": ""},
    ]

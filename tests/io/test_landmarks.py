"""Landmarks as people write them in spreadsheets, and what is told of those that are none."""

from pathlib import Path

import numpy as np
import pytest

from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.io.landmarks import read_landmarks

HEADER = "moving_x,moving_y,fixed_x,fixed_y"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "landmarks.csv"


def refusal_of(path: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_landmarks(path)
    assert caught.value.subject == str(path)
    return caught.value


def test_places_are_read_row_by_row(table: Path) -> None:
    table.write_text(f"{HEADER}\n1,2,3.5,4\n-5,6e1,7,8\n")
    marked = read_landmarks(table)
    np.testing.assert_array_equal(marked.moving_xy, [[1, 2], [-5, 60]])
    np.testing.assert_array_equal(marked.fixed_xy, [[3.5, 4], [7, 8]])
    assert marked.moving_xy.dtype == marked.fixed_xy.dtype == np.float64


@pytest.mark.parametrize(
    "text",
    [
        "fixed_y,name,moving_y,fixed_x,moving_x\n4,corner,2,3,1\n",
        "moving_x;moving_y;fixed_x;fixed_y\n1;2;3;4\n",
        " Moving_X , MOVING_Y,fixed_x,Fixed_Y\r\n 1 , 2 ,3,4\r\n",
        f"\ufeff{HEADER}\n1,2,3,4\n\n",
    ],
    ids=["other order and columns", "semicolons", "case and blanks", "as Excel writes it"],
)
def test_a_table_may_be_laid_out_otherwise(table: Path, text: str) -> None:
    table.write_bytes(text.encode())
    marked = read_landmarks(table)
    np.testing.assert_array_equal(marked.moving_xy, [[1, 2]])
    np.testing.assert_array_equal(marked.fixed_xy, [[3, 4]])


def test_missing_columns_are_named(table: Path) -> None:
    table.write_text("moving_x,y,fixed_x\n1,2,3\n")
    error = refusal_of(table)
    assert error.found == "no column moving_y, fixed_y"
    assert all(name in error.expected for name in HEADER.split(","))


@pytest.mark.parametrize("text", ["", "\n", f"{HEADER}\n", f"{HEADER}\n\n\n"])
def test_a_table_without_a_place_is_refused(table: Path, text: str) -> None:
    table.write_text(text)
    assert refusal_of(table).found == "no landmark"


@pytest.mark.parametrize("cell", ["left", "nan", "inf", "-inf", "1e999", "1,5"])
def test_what_is_no_number_is_told_with_its_line(table: Path, cell: str) -> None:
    table.write_text(f'{HEADER}\n1,2,3,4\n5,6,"{cell}",8\n')
    assert refusal_of(table).found == f"line 3: 5, 6, {cell}, 8"


def test_an_empty_or_absent_cell_is_told_as_nothing(table: Path) -> None:
    table.write_text(f"{HEADER}\n1,,3,4\n5,6,7\n")
    assert refusal_of(table).found == "line 2: 1, nothing, 3, 4; line 3: 5, 6, 7, nothing"


def test_many_faults_make_no_endless_message(table: Path) -> None:
    table.write_text(f"{HEADER}\n" + "a,b,c,d\n" * 3000)
    found = refusal_of(table).found
    assert found.count("line ") == 20
    assert len(found) < 1000


def test_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal_of(tmp_path / "nowhere.csv").found == "no such file"
    assert refusal_of(tmp_path).found == "no such file"


def test_what_is_no_text_is_refused(table: Path) -> None:
    table.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises((ConfigurationError, DataFault), match=r"landmarks\.csv"):
        read_landmarks(table)

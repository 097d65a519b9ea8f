import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mineralseg.core.legend import IGNORE, Legend, Mineral
from mineralseg.errors import DataFault
from tests.laws import LAW

QUARTZ = Mineral(10, "quartz", "#FFFFFF", 2.65)
PYRITE = Mineral(3, "pyrite", "#e6c200", 5.02)
VOID = Mineral(0, "epoxy", "#000000")


@st.composite
def legends(draw: st.DrawFn) -> Legend:
    codes = draw(st.lists(st.integers(0, 254), min_size=2, max_size=200, unique=True))
    return Legend.of(Mineral(code, f"mineral {code}", f"#{code:02x}8040") for code in codes)


@LAW
@given(data=st.data(), legend=legends())
def test_decoding_what_was_encoded_gives_the_indices_back(data: st.DataObject, legend: Legend) -> None:
    index = st.integers(0, len(legend) - 1) | st.just(IGNORE)
    indices_HW = data.draw(npst.arrays(np.uint8, (3, 5), elements=index))
    codes_HW = legend.encode(indices_HW)
    assert np.array_equal(legend.decode(codes_HW), indices_HW)
    assert np.array_equal(codes_HW == IGNORE, indices_HW == IGNORE)


@LAW
@given(data=st.data(), legend=legends())
def test_encoding_what_was_decoded_gives_the_codes_back(data: st.DataObject, legend: Legend) -> None:
    code = st.sampled_from([*legend.codes, IGNORE])
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.int32]))
    codes_HW = data.draw(npst.arrays(dtype, (4, 3), elements=code))
    assert np.array_equal(legend.encode(legend.decode(codes_HW)), codes_HW)


def test_a_class_is_where_its_code_is() -> None:
    legend = Legend.of([QUARTZ, VOID, PYRITE])
    assert legend.names == ("epoxy", "pyrite", "quartz")
    assert legend.codes == (0, 3, 10)
    codes_HW = np.array([[10, 0], [255, 3]], np.uint8)
    assert legend.decode(codes_HW).tolist() == [[2, 0], [255, 1]]
    assert legend.decode(codes_HW).dtype == np.uint8


def test_unknown_codes_are_named_and_counted() -> None:
    legend = Legend.of([QUARTZ, VOID])
    codes_HW = np.array([[10, 7, 7], [300, 7, -1]])
    with pytest.raises(DataFault, match=r"-1 \(1 px\), 7 \(3 px\), 300 \(1 px\)") as caught:
        legend.decode(codes_HW)
    assert "0, 10 or 255" in str(caught.value)


def test_of_many_unknown_codes_the_first_are_named() -> None:
    with pytest.raises(DataFault) as caught:
        Legend.of([QUARTZ, VOID]).decode(np.arange(200)[None])
    assert caught.value.found.count("px") == 10


def test_neither_direction_changes_its_input() -> None:
    legend, codes_HW = Legend.of([QUARTZ, VOID]), np.array([[0, 10]], np.uint8)
    codes_HW.flags.writeable = False
    assert legend.encode(legend.decode(codes_HW)).tolist() == [[0, 10]]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (Mineral(10, "albite", "#123456"), "code 10 used twice"),
        (Mineral(11, "Quartz", "#123456"), "name quartz used twice"),
        (Mineral(11, "albite", "#ffffff"), "colour #ffffff used twice"),
    ],
)
def test_two_classes_share_nothing(other: Mineral, says: str) -> None:
    with pytest.raises(DataFault, match=says):
        Legend.of([QUARTZ, other])


@pytest.mark.parametrize("number", [0, 1, 201])
def test_a_legend_has_2_to_200_classes(number: int) -> None:
    with pytest.raises(DataFault, match=f"{number} classes"):
        Legend.of(Mineral(code, f"m{code}", f"#0000{code:02x}") for code in range(number))


@pytest.mark.parametrize("code", [-1, 255, 1000])
def test_codes_are_those_a_mask_can_hold(code: int) -> None:
    with pytest.raises(DataFault, match=f"code {code}"):
        Mineral(code, "quartz", "#ffffff")


@pytest.mark.parametrize("color", ["ffffff", "#fff", "#gggggg", "red", "", "#ffffff0", "#ffffff\n"])
def test_colours_are_six_hexadecimal_digits(color: str) -> None:
    with pytest.raises(DataFault, match="colour"):
        Mineral(1, "quartz", color)


def test_names_are_not_blank() -> None:
    with pytest.raises(DataFault, match="an empty name"):
        Mineral(1, "  ", "#ffffff")


@pytest.mark.parametrize("density", [0.0, -2.65, 30.0, float("nan"), float("inf")])
def test_densities_are_those_of_minerals(density: float) -> None:
    with pytest.raises(DataFault, match="density"):
        Mineral(1, "quartz", "#ffffff", density)


def test_the_palette_is_by_code_with_void_in_black() -> None:
    assert Legend.of([QUARTZ, PYRITE]).palette() == {3: (230, 194, 0), 10: (255, 255, 255), 255: (0, 0, 0)}


def test_rows_spell_the_legend_and_leave_out_what_is_not_known() -> None:
    assert Legend.of([QUARTZ, VOID]).to_rows() == [
        {"code": 0, "name": "epoxy", "color": "#000000"},
        {"code": 10, "name": "quartz", "color": "#ffffff", "density_g_cm3": 2.65},
    ]

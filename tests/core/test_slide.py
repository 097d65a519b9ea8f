import itertools
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.core.geometry import PixelSize
from mineralseg.core.slide import Illumination, ImageFile, Slide, ViewName
from mineralseg.errors import DataFault
from tests.laws import LAW

ILLUMINATIONS = st.builds(
    Illumination,
    st.sampled_from(["PPL", "XPL", "RL", "BSE"]),
    st.none() | st.integers(0, 99_999).map(lambda hundredths: hundredths / 100),
)


@LAW
@given(ILLUMINATIONS)
def test_an_illumination_is_what_its_name_says(illumination: Illumination) -> None:
    assert Illumination.parse(str(illumination)) == illumination
    assert Illumination.parse(str(illumination).lower()) == illumination


@LAW
@given(st.lists(ILLUMINATIONS, min_size=2, max_size=6))
def test_the_order_is_total_and_agrees_with_equality(several: list[Illumination]) -> None:
    ordered = sorted(several)
    for first, second in itertools.pairwise(ordered):
        assert first < second or first == second
    turned_round = several[::-1]
    assert sorted(turned_round) == ordered


def test_views_stand_in_the_order_of_the_field() -> None:
    names = ["BSE", "XPL90", "RL", "XPL9", "PPL", "XPL", "XPL22.5"]
    ordered = [str(each) for each in sorted(Illumination.parse(name) for name in names)]
    assert ordered == ["PPL", "XPL", "XPL9", "XPL22.5", "XPL90", "RL", "BSE"]


@pytest.mark.parametrize(
    "text", ["", "XP", "XPL-45", "XPL 45", "XPL4545", "XPL1e1", "PPLX", "XPL0.001", "XPL٤٠"]
)
def test_other_words_are_no_illumination(text: str) -> None:
    with pytest.raises(DataFault, match="unknown name"):
        Illumination.parse(text)


@pytest.mark.parametrize(
    ("path", "group", "illumination"),
    [
        ("patch_0001_XPL40.tif", "patch_0001", "XPL40"),
        ("PPL.jpg", None, "PPL"),
        ("ppl.JPG", None, "PPL"),
        ("APPLE_3200_PPL.png", "APPLE_3200", "PPL"),
        ("deep/folder/s1_xpl22.5.tif", "s1", "XPL22.5"),
        ("a_PPL_XPL0.tif", "a_PPL", "XPL0"),
        ("BSE.tiff", None, "BSE"),
    ],
)
def test_file_names_say_group_and_view(path: str, group: str | None, illumination: str) -> None:
    assert ViewName.parse(PurePath(path)) == ViewName(group, Illumination.parse(illumination))


@pytest.mark.parametrize(
    "path", ["APPLE.tif", "XPL_40.tif", "patch-PPL.tif", "scan.tif", "_PPL.tif", "PPL_.tif", "PPL_1.tif"]
)
def test_other_file_names_say_nothing(path: str) -> None:
    assert ViewName.parse(PurePath(path)) is None


def _image(height: int, width: int) -> ImageFile:
    return ImageFile("x.tif", "0" * 64, height, width, 3, None)


def _slide(views: dict[str, ImageFile], label: ImageFile | None, reference: str = "PPL") -> Slide:
    return Slide("s1", "rock 1", reference, views, label, PixelSize.unknown())


def test_a_slide_has_the_size_of_its_reference() -> None:
    slide = _slide({"PPL": _image(30, 40), "XPL0": _image(60, 80)}, _image(60, 80), reference="XPL0")
    assert (slide.height, slide.width) == (60, 80)
    slide.require_label_on_grid()


def test_views_of_another_size_are_named_where_they_must_agree() -> None:
    slide = _slide({"PPL": _image(30, 40), "XPL0": _image(30, 41)}, None)
    with pytest.raises(DataFault, match="sample s1: XPL0 is 41 x 30 px; expected 40 x 30 px like PPL"):
        slide.require_views_on_one_grid()


def test_a_mask_of_another_size_is_named_where_it_must_agree() -> None:
    slide = _slide({"PPL": _image(30, 40)}, _image(40, 30))
    slide.require_views_on_one_grid()
    with pytest.raises(DataFault, match="label is 30 x 40 px; expected 40 x 30 px like PPL"):
        slide.require_label_on_grid()


def test_a_reference_that_is_no_view_is_refused() -> None:
    with pytest.raises(DataFault, match=r"reference XPL45, which is not one of its views; expected PPL"):
        _slide({"PPL": _image(30, 40)}, None, reference="XPL45")

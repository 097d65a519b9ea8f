from pathlib import Path

import pytest

from mineralseg.core.slide import Illumination
from mineralseg.errors import DataFault
from mineralseg.io.samples import find_samples, list_images

PPL, XPL0, XPL45 = (Illumination.parse(name) for name in ("PPL", "XPL0", "XPL45"))


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_samples_are_found_with_views_in_order(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "b/image/f1_XPL45.TIF",
        "b/image/f1_XPL0.tif",
        "b/image/f1_PPL.png",
        "b/label/f1.png",
        "a/image/PPL.jpeg",
        "samples.csv",
        "notes/readme.txt",
    )
    first, second = find_samples(tmp_path)
    assert (first.name, list(first.views), first.labels) == ("a", [PPL], ())
    assert second.name == "b"
    assert list(second.views) == [PPL, XPL0, XPL45]
    assert second.views[XPL45] == (tmp_path / "b/image/f1_XPL45.TIF",)
    assert second.labels == (tmp_path / "b/label/f1.png",)
    assert second.unnamed == ()


def test_files_that_name_no_view_and_views_that_come_twice_are_kept_apart(tmp_path: Path) -> None:
    _touch(tmp_path, "a/image/scan.tif", "a/image/x_PPL.tif", "a/image/y_ppl.tif")
    (sample,) = find_samples(tmp_path)
    assert sample.unnamed == (tmp_path / "a/image/scan.tif",)
    assert [path.name for path in sample.views[PPL]] == ["x_PPL.tif", "y_ppl.tif"]


def test_only_images_that_are_not_hidden_are_listed(tmp_path: Path) -> None:
    _touch(tmp_path, "b.tif", "a.PNG", ".c.tif", "d.txt", "Thumbs.db", "e.tif/inside.tif")
    assert [path.name for path in list_images(tmp_path)] == ["a.PNG", "b.tif"]
    assert list_images(tmp_path / "none") == []


def test_a_place_without_samples_says_what_one_looks_like(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"no such folder; .*dvc pull"):
        find_samples(tmp_path / "raw")
    _touch(tmp_path, "a/images/PPL.tif")
    with pytest.raises(DataFault, match="no sample; expected <sample>/image"):
        find_samples(tmp_path)

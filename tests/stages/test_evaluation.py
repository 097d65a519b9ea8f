"""The evaluation: its report, its tables, and a page that stands by itself."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.core.legend import Legend
from mineralseg.core.progress import silent
from mineralseg.core.split import Part, Split
from mineralseg.errors import ConfigurationError, DataFaults, UntrustedArtefact
from mineralseg.io.files import read_json
from mineralseg.io.tables import read_csv, read_legend, write_legend
from mineralseg.models.bundle import load_bundle
from mineralseg.stages.evaluate import (
    evaluate_bundle,
    evaluate_model,
    folder_samples,
    workspace_samples,
    write_evaluation,
)
from mineralseg.stages.manifest import read_split, write_split
from mineralseg.stages.runs import NoRunBook
from mineralseg.stages.scoring import SampleScore
from mineralseg.stages.workspace import Workspace
from tests.workspaces import change_params

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects links and checks that every element that is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(folder: Path) -> Page:
    html = (folder / "index.html").read_text("utf-8")
    assert not re.search(r"""(https?:)?//[\w.]|@import|url\(""", html)
    page = Page(html)
    assert page.links
    for link in page.links:
        assert not urlsplit(link).scheme
        assert (folder / unquote(link)).is_file(), link
    return page


def test_the_page_shows_files_of_its_own_folder_and_no_other(recorded_once: Workspace) -> None:
    page = page_of(recorded_once.evaluation)
    for name in read_json(recorded_once.report("evaluate"))["samples"]:
        assert name in page.text
    made = {path.name for path in recorded_once.evaluation.glob("*.png")}
    assert made == {unquote(link) for link in page.links}


def test_scores_are_those_of_the_confusion_table(recorded_once: Workspace) -> None:
    rows = read_csv(recorded_once.evaluation / "confusion.csv")
    names = [next(iter(row.values())) for row in rows]
    counts = np.array([[int(v) for v in list(row.values())[1:]] for row in rows])
    report = read_json(recorded_once.report("evaluate"))
    assert report["pixel_accuracy"] == pytest.approx(np.trace(counts) / counts.sum(), abs=1e-6)
    assert sorted(names) == sorted(report["iou"])
    for number, name in enumerate(names):
        union = counts[number].sum() + counts[:, number].sum() - counts[number, number]
        expected = None if union == 0 else counts[number, number] / union
        assert report["iou"][name] == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_no_overlays_are_drawn_when_none_are_wanted(recorded: Workspace) -> None:
    params = change_params(recorded, {"eval.overlays": 0})
    for picture in recorded.evaluation.glob("*"):
        picture.unlink()
    evaluate_model(params, recorded, runs=NoRunBook(), progress=silent)
    assert {path.name for path in recorded.evaluation.glob("*.png")} == {"confusion.png"}
    page_of(recorded.evaluation)


def test_names_that_mean_something_in_html_and_urls_are_shown_as_they_are(
    recorded_once: Workspace, tmp_path: Path
) -> None:
    bundle = load_bundle(recorded_once.model)
    name = "K-fsp <b>50%</b> & more #1?"
    labels = np.zeros((4, 6), np.uint8)
    confusion = ConfusionMatrix.of(labels, labels, classes=len(bundle.spec.classes))
    score = SampleScore(name.replace("/", "∕"), confusion, np.zeros((4, 6, 3), np.uint8), labels, labels)
    write_evaluation(tmp_path, [score], bundle, overlays=1)
    page = page_of(tmp_path)
    assert score.name in page.text


def test_a_class_that_nobody_has_is_null_and_a_dash(recorded_once: Workspace, tmp_path: Path) -> None:
    bundle = load_bundle(recorded_once.model)
    labels = np.zeros((4, 6), np.uint8)
    confusion = ConfusionMatrix.of(labels, labels, classes=len(bundle.spec.classes))
    score = SampleScore("a", confusion, np.zeros((4, 6, 3), np.uint8), labels, labels)
    write_evaluation(tmp_path, [score], bundle, overlays=1)
    assert "–" in page_of(tmp_path).text


def test_a_folder_scores_as_the_workspace_made_from_it(
    recorded_once: Workspace, slides: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(recorded_once.bundle)
    names = read_json(recorded_once.splits)["parts"]["test"]
    for name in names:
        shutil.copytree(slides / name, tmp_path / name)
    shutil.copy(slides / "legend.yaml", tmp_path)
    scratch = tmp_path / "scratch"
    outside = evaluate_bundle(bundle, folder_samples(tmp_path, bundle), scratch=scratch, progress=silent)
    inside = workspace_samples(recorded_once.params(), recorded_once, "test", bundle)
    assert outside == evaluate_bundle(bundle, inside, scratch=tmp_path, progress=silent)
    assert outside.model_dump(mode="json") == read_json(recorded_once.report("evaluate"))


def test_a_folder_with_another_legend_is_refused(
    recorded_once: Workspace, slides: Path, tmp_path: Path
) -> None:
    shutil.copytree(slides, tmp_path / "other")
    legend = tmp_path / "other" / "legend.yaml"
    legend.write_text(legend.read_text().replace("name: quartz", "name: opal"))
    with pytest.raises(UntrustedArtefact, match="opal"):
        folder_samples(tmp_path / "other", load_bundle(recorded_once.bundle))


def test_folder_samples_without_a_mask_are_all_named(
    recorded_once: Workspace, slides: Path, tmp_path: Path
) -> None:
    shutil.copytree(slides, tmp_path / "other")
    for name in ("S01a", "S03b"):
        (tmp_path / "other" / name / "label" / "mask.tif").unlink()
    with pytest.raises(DataFaults) as caught:
        folder_samples(tmp_path / "other", load_bundle(recorded_once.bundle))
    assert [fault.subject for fault in caught.value.faults] == ["sample S01a", "sample S03b"]


def test_scoring_nothing_is_refused(recorded_once: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="no sample"):
        evaluate_bundle(load_bundle(recorded_once.bundle), [], scratch=recorded_once.scratch, progress=silent)


def test_the_report_is_what_the_bundle_carries(recorded_once: Workspace) -> None:
    content = json.loads((recorded_once.bundle / "bundle.json").read_text())
    assert content["scores"] == read_json(recorded_once.report("evaluate"))
    assert load_bundle(recorded_once.model).spec.scores is None


def test_a_version_is_not_scored_on_samples_of_another_split(recorded: Workspace) -> None:
    bundle = load_bundle(recorded.bundle)
    split = read_split(recorded.splits)
    turned: dict[Part, Part] = {"train": "test", "test": "train", "val": "val"}
    write_split(
        recorded.splits,
        Split({sample: turned[part] for sample, part in split.part_of.items()}, split.specimen_of),
    )
    with pytest.raises(UntrustedArtefact, match="other train samples than the workspace has now"):
        workspace_samples(recorded.params(), recorded, "test", bundle)


def test_a_version_is_not_scored_against_another_legend(recorded: Workspace) -> None:
    bundle = load_bundle(recorded.bundle)
    first, second, *others = read_legend(recorded.legend_file).minerals
    swapped = (replace(first, name=second.name), replace(second, name=first.name), *others)
    write_legend(recorded.legend_file, Legend(swapped))
    with pytest.raises(UntrustedArtefact, match="classes 0 pore"):
        workspace_samples(recorded.params(), recorded, "test", bundle)

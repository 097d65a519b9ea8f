"""dvc.yaml tells the truth: every stage watches all the code and every parameter that its result hangs on."""

from functools import cache
from pathlib import Path
from typing import Any, get_args

import grimp
import pytest
import yaml

from mineralseg.config.params import Params
from mineralseg.config.section import Section
from mineralseg.stages.code import STAGE_CODE, code_sha256

ROOT = Path(__file__).parents[2]
CODE = ("mineralseg/", "pipelines/")


def stages_of(path: str) -> dict[str, dict[str, Any]]:
    stages: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / path).read_text())["stages"]
    return stages


HERE, SHIPPED = stages_of("dvc.yaml"), stages_of("mineralseg/scaffold/dvc.yaml")


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("mineralseg", "pipelines")


def code_of(stage: str) -> set[str]:
    """Return the files of all modules that the door of a stage imports, however indirectly."""
    door = f"pipelines.{stage}"
    modules = imports().find_upstream_modules(door) | {door}
    return {file_of(module) for module in modules}


def file_of(module: str) -> str:
    path = Path(*module.split("."))
    package = path / "__init__.py"
    return (package if (ROOT / package).is_file() else path.with_suffix(".py")).as_posix()


def covered(file: str, watched: set[str]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in watched)


def data_deps(stage: dict[str, Any]) -> list[str]:
    return [dep for dep in stage["deps"] if not dep.startswith(CODE)]


def code_deps(stage: dict[str, Any]) -> set[str]:
    return {dep for dep in stage["deps"] if dep.startswith(CODE)}


def own_params(stage: dict[str, Any]) -> list[str]:
    return [key for key in stage.get("params", []) if isinstance(key, str)]


def test_the_repository_runs_the_shipped_pipeline_on_synthetic_slides() -> None:
    assert set(HERE) - set(SHIPPED) == {"synth"}
    assert [name for name in HERE if name != "synth"] == list(SHIPPED) == list(STAGE_CODE)
    for name, shipped in SHIPPED.items():
        here = HERE[name]
        assert data_deps(here) == shipped["deps"], name
        assert own_params(here) == own_params(shipped), name
        for key in ("cmd", "outs", "metrics", "plots", "desc"):
            assert here.get(key) == shipped.get(key), (name, key)
        watched = [key for key in shipped["params"] if not isinstance(key, str)]
        assert watched == [{"code.yaml": [name]}]


@pytest.mark.parametrize("stage", SHIPPED)
def test_every_import_of_a_stage_is_watched(stage: str) -> None:
    for watched in (code_deps(HERE[stage]), set(STAGE_CODE[stage])):
        assert [file for file in sorted(code_of(stage)) if not covered(file, watched)] == []


@pytest.mark.parametrize("stage", SHIPPED)
def test_both_kinds_of_workspace_watch_the_same_code_and_it_exists(stage: str) -> None:
    assert code_deps(HERE[stage]) == set(STAGE_CODE[stage])
    assert [place for place in STAGE_CODE[stage] if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("stage", SHIPPED)
def test_no_stage_waits_for_code_that_it_does_not_import(stage: str) -> None:
    used = {*code_of(stage), *templates_of(stage)}
    assert [place for place in STAGE_CODE[stage] if not any(covered(file, {place}) for file in used)] == []


def templates_of(stage: str) -> list[str]:
    """Return the pages that a stage fills in, if it imports what does so."""
    folder = ROOT / "mineralseg" / "stages" / "templates"
    draws = "mineralseg/stages/pages.py" in code_of(stage)
    return [path.relative_to(ROOT).as_posix() for path in folder.iterdir()] if draws else []


@pytest.mark.parametrize("stage", SHIPPED)
def test_every_page_a_stage_fills_in_is_watched(stage: str) -> None:
    assert [file for file in templates_of(stage) if not covered(file, code_deps(HERE[stage]))] == []


def test_the_slides_of_the_repository_watch_what_makes_them() -> None:
    modules = imports().find_upstream_modules("mineralseg.stages.synth") | {"mineralseg.stages.synth"}
    files = {file_of(module) for module in modules} - {"mineralseg/errors.py"}
    assert [file for file in sorted(files) if not covered(file, code_deps(HERE["synth"]))] == []


def test_hashes_of_code_differ_between_stages_and_not_between_calls() -> None:
    assert code_sha256("train") == code_sha256("train")
    assert len({code_sha256(stage) for stage in ("ingest", "train", "evaluate")}) == 3


def fields(section: type[Section], prefix: str = "") -> set[str]:
    """Return the dotted names of all fields, those of every kind of a tagged union included."""
    found = set()
    for name, field in section.model_fields.items():
        found.add(f"{prefix}{name}")
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                found |= fields(kind, f"{prefix}{name}.")
    return found


def leaves() -> set[str]:
    every = fields(Params)
    return {name for name in every if not any(other.startswith(f"{name}.") for other in every)}


@pytest.mark.parametrize("stage", SHIPPED)
def test_every_parameter_a_stage_watches_exists(stage: str) -> None:
    assert set(own_params(SHIPPED[stage])) <= fields(Params)


def test_every_parameter_is_watched_by_some_stage() -> None:
    watched = {key for stage in SHIPPED.values() for key in own_params(stage)}
    unwatched = {name for name in leaves() if not any(f"{name}.".startswith(f"{key}.") for key in watched)}
    assert unwatched == set()


@pytest.mark.parametrize("path", ["params.yaml", "mineralseg/scaffold/params.yaml"])
def test_the_parameter_files_are_whole(path: str) -> None:
    values = yaml.safe_load((ROOT / path).read_text())
    values["data"]["illuminations"] = values["data"]["illuminations"] or ["PPL"]
    values["align"]["reference"] = "PPL"
    params = Params.parse(values)
    assert set(params.flat()) <= leaves()


def test_packages_run_nothing_when_they_are_imported() -> None:
    """`import mineralseg.x.y` runs three files; two of them are empty, and so need no watching."""
    packages = [*ROOT.glob("mineralseg/**/__init__.py"), *ROOT.glob("pipelines/**/__init__.py")]
    assert [str(path) for path in packages if path.stat().st_size] == []

"""Init: a workspace made from a folder of images."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from mineralseg.config.params import Params
from mineralseg.core.progress import Progress
from mineralseg.core.split import PARTS, SampleRow
from mineralseg.errors import ConfigurationError, DataFault, DataFaults
from mineralseg.io.files import read_json, read_text, write_text, writing
from mineralseg.io.programs import git_knows_its_user, run_dvc, run_git
from mineralseg.io.samples import SampleFolder, find_samples
from mineralseg.io.tables import (
    find_legend,
    parse_yaml,
    read_legend,
    read_samples,
    write_legend,
    write_samples,
)
from mineralseg.stages.code import write_code_file
from mineralseg.stages.inspect import inspect_samples, inspect_slide
from mineralseg.stages.map_placement import LANDMARKS_NAME
from mineralseg.stages.masks import MaskReader
from mineralseg.stages.workspace import Workspace

_DVC_SETTINGS = (
    ("core.analytics", "false"),
    ("core.check_update", "false"),
    ("core.autostage", "true"),
    ("cache.type", "reflink,copy"),
)


@dataclass(frozen=True)
class Scaffolded:
    """What init made: where, how many samples, which views, and whether the start is committed."""

    root: Path
    samples: int
    illuminations: tuple[str, ...]
    committed: bool


def init_workspace(
    root: Path, source: Path, *, params_file: Path | None, dry_run: bool, progress: Progress
) -> Scaffolded:
    """Make a workspace in `root` from images in the guide's layout, after checking all of them.

    Images and masks are copied to data/raw and versioned by DVC; legend, samples and parameters are
    written as text files for git. Samples, specimens and parts come from samples.csv or manifest.json of
    the source where there is one; else each sample is its own specimen. Parameters are the shipped ones,
    or a copy of `params_file`.

    Raises:
        ConfigurationError: `root` has something in it already.
        DataFaults: lists everything that is wrong with the source; nothing is then written.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigurationError(
            root, found="not an empty folder", expected="a new place", fix="choose another"
        )
    legend = read_legend(find_legend(source))
    folders = find_samples(source)
    rows = _sample_rows(source, folders)
    wanted = _common_views(folders)
    text = _shipped_params(root.name, wanted, rows) if params_file is None else read_text(params_file)
    params = Params.parse(parse_yaml(text, source=params_file or "params.yaml"), source=str(params_file))
    wanted = params.data.illuminations
    masks = MaskReader(params.labels.masks, legend, source)
    progress(f"init: checking {len(folders)} samples")
    inspection = inspect_samples(
        folders,
        rows,
        wanted=wanted,
        root=source,
        inspect_one=lambda folder, row: inspect_slide(folder, row, params=params, masks=masks, root=source),
    )
    if inspection.faults:
        raise DataFaults(inspection.faults)
    if dry_run:
        return Scaffolded(root, len(folders), wanted, committed=False)
    workspace = Workspace(root.absolute())
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        progress(f"init: copying {folder.name}")
        _copy_sample(folder, workspace.raw / folder.name)
        _copy_if_there(source / folder.name / "label" / LANDMARKS_NAME, workspace.raw / folder.name / "label")
    if params.labels.masks.table is not None:
        _copy_if_there(source / params.labels.masks.table, workspace.raw)
    write_legend(workspace.legend_file, legend)
    write_samples(workspace.samples_file, rows)
    write_text(workspace.params_file, text)
    for name, target in (("dvc.yaml", "dvc.yaml"), ("gitignore", ".gitignore"), ("dvcignore", ".dvcignore")):
        write_text(workspace.root / target, _shipped(name))
    write_code_file(workspace.code_file)
    committed = _version(workspace, progress)
    return Scaffolded(workspace.root, len(folders), wanted, committed)


def _copy_sample(folder: SampleFolder, target: Path) -> None:
    for kind, paths in (
        ("image", [p for each in folder.views.values() for p in each]),
        ("label", folder.labels),
    ):
        (target / kind).mkdir(parents=True)
        for path in paths:
            shutil.copyfile(path, target / kind / path.name)


def _copy_if_there(path: Path, folder: Path) -> None:
    if path.is_file():
        shutil.copyfile(path, folder / path.name)


def _common_views(folders: Sequence[SampleFolder]) -> tuple[str, ...]:
    """Return the views of the sample that has most; a sample that lacks one of them is a fault."""
    richest = max(folders, key=lambda folder: len(folder.views))
    if not richest.views:
        raise DataFault(
            f"sample {richest.name}",
            found="no view",
            expected="image/PPL.tif, image/<name>_XPL45.tif or the like",
            fix="name the images by their illumination",
        )
    return tuple(str(illumination) for illumination in richest.views)


def _sample_rows(source: Path, folders: Sequence[SampleFolder]) -> list[SampleRow]:
    if (source / "samples.csv").is_file():
        return read_samples(source / "samples.csv")
    if (source / "manifest.json").is_file():
        return _manifest_rows(source / "manifest.json")
    return [SampleRow(folder.name, folder.name) for folder in folders]


def _manifest_rows(path: Path) -> list[SampleRow]:
    """Return the rows in a manifest.json: `splits` of part to sample to {`field` or `specimen`}."""
    try:
        rows = list(_rows_of_manifest(read_json(path)))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataFault(
            path,
            found="another content",
            expected="`splits` with train, val and test, each a list of samples or samples with their facts",
            fix="correct it, or write samples.csv with sample, specimen, split, pixel_size_um",
        ) from None
    names = [row.sample for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataFault(path, found=f"{', '.join(twice)} in two parts", expected="every sample in one part")
    return rows


def _rows_of_manifest(content: Any) -> Iterator[SampleRow]:
    size = content.get("pixel_size_um")
    for part in content["splits"]:
        if part not in PARTS:
            raise ValueError(part)
        members = content["splits"][part]
        for sample in members:
            facts = members[sample] if isinstance(members, dict) else {}
            if not isinstance(sample, str):
                raise TypeError(sample)
            yield SampleRow(sample, _specimen(sample, facts), part, _size(facts, size))


def _specimen(sample: str, facts: dict[str, Any]) -> str:
    return str(facts.get("specimen") or facts.get("field") or sample)


def _size(facts: dict[str, Any], default: Any) -> float | None:
    size = facts.get("pixel_size_um", default)
    return None if size is None else float(size)


def _shipped_params(name: str, illuminations: Sequence[str], rows: Sequence[SampleRow]) -> str:
    """Return the shipped params.yaml with this project's name, views and kind of split."""
    project = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "minerals"
    text = _shipped("params.yaml").replace("name: NAME", f'name: "{project}"')
    text = text.replace("illuminations: []", f"illuminations: [{', '.join(illuminations)}]")
    text = text.replace("reference: REFERENCE", f"reference: {illuminations[0]}")
    if all(row.part is not None for row in rows):
        text = re.sub(
            r"kind: fraction ([^\n]*)\n  val: [^\n]*\n  test: [^\n]*", r"kind: fixed_manifest \1", text
        )
    return text


def _shipped(name: str) -> str:
    return files("mineralseg.scaffold").joinpath(name).read_text("utf-8")


def _version(workspace: Workspace, progress: Progress) -> bool:
    """Put code-like files under git and data under DVC; return whether git could commit them."""
    root = workspace.root
    progress("init: git and DVC")
    run_git(root, "init", "--quiet")
    run_dvc(root, "init", "--quiet")
    for key, value in _DVC_SETTINGS:
        run_dvc(root, "config", key, value)
    run_dvc(root, "add", "--quiet", "data/raw")
    run_git(root, "add", "--all")
    if not git_knows_its_user(root):
        return False
    run_git(root, "commit", "--quiet", "--message", "Start the workspace")
    return True

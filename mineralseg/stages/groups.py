"""Which files belong together: the views of one field, found by their names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mineralseg.core.slide import ViewName
from mineralseg.errors import ConfigurationError, DataFault, MineralsegError
from mineralseg.io.samples import IMAGE_SUFFIXES, list_images


@dataclass(frozen=True)
class Group:
    """The views of one field by illumination name, and what is wrong with their names, if anything."""

    name: str
    views: dict[str, Path]
    fault: MineralsegError | None = None


def find_groups(inputs: Sequence[Path]) -> list[Group]:
    """Return the groups in files and folders, by name.

    `patch_0001_PPL.tif` and `patch_0001_XPL40.tif` are group `patch_0001`. Files called only by their
    illumination (`PPL.jpg`) are named after their folder, and `<sample>/image/PPL.jpg` after the sample.
    A folder stands for its images; if it holds sample folders, for theirs.

    Raises:
        ConfigurationError: an input does not exist, or there is no image in any of them.
    """
    files: dict[str, dict[str, list[Path]]] = {}
    faults = []
    for path in _files(inputs):
        # A leading dot means hidden; of `.._PPL.tif` it would also make a group that is another folder.
        name = None if path.name.startswith(".") else ViewName.parse(path)
        if name is None:
            faults.append(Group(path.stem, {}, _unnamed(path)))
            continue
        group = name.group or _folder_name(path)
        views = files.setdefault(group, {}).setdefault(str(name.illumination), [])
        if path not in views:
            views.append(path)
    if not files and not faults:
        raise ConfigurationError(
            ", ".join(map(str, inputs)),
            found="no image",
            expected=f"files ending in {', '.join(IMAGE_SUFFIXES)}",
        )
    groups = [_group(name, views) for name, views in files.items()]
    return sorted([*groups, *faults], key=lambda group: group.name)


def _files(inputs: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            folders = [path, path / "image", *sorted(path.glob("*/image"))]
            found += [_tidy(file) for folder in folders for file in list_images(folder)]
        elif path.exists():
            found.append(_tidy(path))
        else:
            raise ConfigurationError(path, found="no such file or folder", fix="check the path")
    return found


def _tidy(path: Path) -> Path:
    """Return the absolute path without `..`, links left as they are."""
    return Path(os.path.normpath(path.absolute()))


def _folder_name(path: Path) -> str:
    folder = path.parent.parent if path.parent.name == "image" else path.parent
    return folder.name


def _group(name: str, views: dict[str, list[Path]]) -> Group:
    twice = {view: paths for view, paths in views.items() if len(paths) > 1}
    fault = None
    if twice:
        listed = "; ".join(f"{view}: {', '.join(map(str, paths))}" for view, paths in twice.items())
        fault = DataFault(
            f"group {name}", found=f"a view more than once ({listed})", expected="one file a view"
        )
    return Group(name, {view: paths[0] for view, paths in views.items()}, fault)


def _unnamed(path: Path) -> MineralsegError:
    return DataFault(
        path,
        found="a name without an illumination",
        expected="<group>_PPL, _XPL40, _RL or _BSE before the suffix",
        fix="rename it",
    )

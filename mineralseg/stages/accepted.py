"""Which samples a stage passes on: a list beside their folders."""

from collections.abc import Sequence
from pathlib import Path

from mineralseg.core.slide import Slide
from mineralseg.errors import ConfigurationError
from mineralseg.io.files import read_json, write_json, writing

_NAME = "accepted.json"


def write_accepted(folder: Path, samples: Sequence[str]) -> None:
    """Write which samples the next stage may use."""
    write_json(folder / _NAME, {"samples": sorted(samples)})


def forget_accepted(folder: Path) -> None:
    """Remove the list of the last run, so that a run which ends early leaves none."""
    with writing(folder):
        (folder / _NAME).unlink(missing_ok=True)


def accepted_samples(folder: Path) -> frozenset[str]:
    """Return the samples that the stage which fills `folder` accepted.

    Raises:
        ConfigurationError: the stage did not run yet.
    """
    if not (folder / _NAME).is_file():
        raise ConfigurationError(
            folder / _NAME, found="not made yet", expected="a finished stage", fix="run `dvc repro`"
        )
    return frozenset(read_json(folder / _NAME)["samples"])


def accepted_slides(folder: Path, slides: Sequence[Slide]) -> list[Slide]:
    """Return the slides among those that the stage which fills `folder` accepted."""
    accepted = accepted_samples(folder)
    return [slide for slide in slides if slide.sample in accepted]

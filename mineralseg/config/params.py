"""All parameters of a run: params.yaml as one frozen object."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError, model_validator

from mineralseg.config.data import (
    AlignByRegistration,
    AlignSection,
    DataSection,
    LabelsSection,
    SplitSection,
)
from mineralseg.config.inference import EvalSection, InferenceSection
from mineralseg.config.section import Section
from mineralseg.config.training import ModelSection, TrainSection
from mineralseg.errors import ConfigurationError


class ProjectSection(Section):
    """What the experiment is called and where its randomness starts."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the MLflow experiment and of the registered model."""
    seed: int = Field(ge=0, lt=2**32)
    """Seed of the split, the initial weights, the patches and their augmentation."""


class Params(Section):
    """The whole of params.yaml; its keys are these fields, both ways."""

    project: ProjectSection
    data: DataSection
    align: AlignSection
    labels: LabelsSection
    split: SplitSection
    model: ModelSection
    train: TrainSection
    eval: EvalSection
    inference: InferenceSection

    @model_validator(mode="after")
    def _aligns_on_a_view_there_is(self) -> "Params":
        if (
            isinstance(self.align, AlignByRegistration)
            and self.align.reference not in self.data.illuminations
        ):
            listed = ", ".join(self.data.illuminations)
            raise ValueError(
                f"align.reference {self.align.reference} is not in data.illuminations ({listed})"
            )
        return self

    @classmethod
    def parse(cls, values: object, *, source: str = "params.yaml") -> "Params":
        """Return the parameters that plain `values` (as read from YAML) spell.

        Raises:
            ConfigurationError: lists every fault with its dotted key, and near names for unknown keys.
        """
        try:
            return cls.model_validate_json(json.dumps(values, default=str))
        except ValidationError as error:
            faults = [_sentence(fault, values) for fault in error.errors()]
            raise ConfigurationError(
                source, found=f"{len(faults)} fault(s):\n" + "\n".join(f"  - {line}" for line in faults)
            ) from None

    def replace(self, changes: Mapping[str, object]) -> "Params":
        """Return a copy with dotted keys (`train.epochs`) changed, validated again as a whole."""
        values = self.model_dump(mode="json")
        for dotted, value in changes.items():
            *parents, leaf = dotted.split(".")
            section: Any = values
            for name in parents:
                section = section.get(name) if isinstance(section, dict) else None
            if not isinstance(section, dict):
                raise ConfigurationError(dotted, found="no such section", expected="a key of params.yaml")
            section[leaf] = value
        return Params.parse(values, source="the changed parameters")

    def flat(self) -> dict[str, Any]:
        """Return the values by dotted key, lists as one text, as a run logs them."""
        return dict(_flatten(self.model_dump(mode="json"), ""))


def _flatten(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(value, list):
        return [(prefix, ", ".join(map(str, value)))]
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [pair for key, child in value.items() for pair in _flatten(child, f"{prefix}.{key}".lstrip("."))]


def _sentence(fault: Any, values: object) -> str:
    """Return one line for one pydantic fault: dotted key, what is wrong, a near name."""
    location = _written_location(fault["loc"], values)
    key = ".".join(location) or "the whole"
    match fault["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(location[-1], sorted(_all_keys(Params)), n=1)
            return f"{key}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
        case "missing":
            return f"{key}: missing"
        case "union_tag_not_found":
            return f"{key}.kind: missing"
        case "union_tag_invalid":
            context = fault["ctx"]
            return f"{key}.kind: Input should be one of {context['expected_tags']} (found {context['tag']!r})"
        case _:
            message = fault["msg"].removeprefix("Value error, ")
            return _about(key, message, fault["input"])


def _about(key: str, message: str, found: object) -> str:
    """Return what is wrong with a key; a whole section is not printed."""
    return f"{key}: {message}" if isinstance(found, dict) else f"{key}: {message} (found {found!r})"


def _written_location(location: Sequence[str | int], values: object) -> list[str]:
    """Return where a fault stands in the file; pydantic puts the `kind` of a section in between."""
    written, here = [], values
    for part in location:
        if isinstance(here, dict) and part not in here and part == here.get("kind"):
            continue
        written.append(str(part))
        here = here.get(part) if isinstance(here, dict) else None
    return written


def _all_keys(section: type[Section]) -> set[str]:
    """Return every field name below a section, for suggesting a near one."""
    schema = section.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}

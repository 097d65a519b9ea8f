import math
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mineralseg.config.params import Params
from mineralseg.errors import ConfigurationError
from mineralseg.io.tables import parse_yaml, read_yaml
from tests.laws import LAW

ROOT_FILE = Path(__file__).parents[2] / "params.yaml"
SHIPPED_TEXT = files("mineralseg.scaffold").joinpath("params.yaml").read_text("utf-8")


def _root_values() -> dict[str, Any]:
    values: dict[str, Any] = read_yaml(ROOT_FILE)
    return values


def _shipped_values() -> dict[str, Any]:
    """Return the shipped file as `init` completes it: it alone knows the name and the views."""
    values: dict[str, Any] = parse_yaml(SHIPPED_TEXT, source="params.yaml")
    values["data"]["illuminations"] = ["PPL"]
    values["align"]["reference"] = "PPL"
    return values


PARAMS = Params.parse(_root_values())


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation allows, through unions and `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _sections(part)]


def _field_keys(section: type[BaseModel], values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys that the types ask for; of a union, the member whose kind the file names."""
    for name, field in section.model_fields.items():
        inner = _sections(field.annotation)
        if not inner:
            yield prefix + name
            continue
        if len(inner) > 1:
            kind = values[name]["kind"]
            inner = [model for model in inner if kind in get_args(model.model_fields["kind"].annotation)]
        yield from _field_keys(inner[0], values[name], f"{prefix}{name}.")


def _file_keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _file_keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("values", [_root_values(), _shipped_values()], ids=["root", "shipped"])
def test_the_keys_of_the_file_are_the_fields_both_ways(values: dict[str, Any]) -> None:
    keys = list(_file_keys(values))
    assert sorted(keys) == sorted(_field_keys(Params, values))
    assert sorted(keys) == sorted(Params.parse(values).flat())


@pytest.mark.parametrize("values", [_root_values(), _shipped_values()], ids=["root", "shipped"])
def test_parsing_changes_no_value(values: dict[str, Any]) -> None:
    assert Params.parse(values).model_dump(mode="json") == values


def _all_sections(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield section
    for field in section.model_fields.values():
        for inner in _sections(field.annotation):
            yield from _all_sections(inner)


@pytest.mark.parametrize("section", list(_all_sections(Params)), ids=lambda section: section.__name__)
def test_sections_are_frozen_closed_and_without_defaults(section: type[BaseModel]) -> None:
    assert section.model_config["frozen"]
    assert section.model_config["extra"] == "forbid"
    assert all(field.is_required() for field in section.model_fields.values())
    for name, field in section.model_fields.items():
        assert field.description or name == "kind" or _sections(field.annotation), f"{name} says nothing"
    assert section.__doc__


def _changed(changes: Mapping[str, object]) -> dict[str, Any]:
    values = _root_values()
    for dotted, value in changes.items():
        *parents, leaf = dotted.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        section[leaf] = value
    return values


WRONG: dict[str, tuple[object, str]] = {
    "project.name": ("-no", "pattern"),
    "project.seed": (-1, "greater than or equal to 0"),
    "data.illuminations": (["PPL", "ppl"], "listed twice"),
    "data.downsample": (2.5, "integer"),
    "data.mode": ("stak", "'stack' or 'separate'"),
    "train.epochs": ("5", "integer"),
    "train.batch_size": (True, "integer"),
    "train.learning_rate": (math.nan, "finite"),
    "train.weight_decay": (math.inf, "finite"),
    "train.patch_px": (100, "multiple of 32"),
    "train.augment.flip": (1, "boolean"),
    "train.loss.dice_weight": (0, "greater than 0"),
    "split.val": (1, "less than 1"),
    "inference.views": (2, "1, 4 or 8"),
    "eval.overlays": (None, "integer"),
    "align.kind": ("guess", "'identity', 'register'"),
    "labels.masks.kind": ("names", "'class_ids', 'colors'"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_named_by_its_dotted_key(key: str) -> None:
    value, says = WRONG[key]
    with pytest.raises(ConfigurationError) as caught:
        Params.parse(_changed({key: value}))
    line = str(caught.value).splitlines()[-1]
    section = key.rpartition(".")[0]
    assert line.startswith((f"  - {key}: ", f"  - {section}: "))  # a section where values contradict
    assert says in line


def test_all_faults_are_told_at_once() -> None:
    values = _changed({key: value for key, (value, _) in WRONG.items() if key != "data.illuminations"})
    values["trian"] = 1
    del values["labels"]["placement"]["kind"]
    with pytest.raises(ConfigurationError) as caught:
        Params.parse(values, source="my.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"my.yaml: {len(WRONG) + 1} fault(s):"
    told = {line.removeprefix("  - ").partition(": ")[0] for line in lines[1:]}
    assert told == {*WRONG, "trian", "labels.placement.kind"} - {"data.illuminations"}


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("trian", "train"),
        ("train.epoch", "epochs"),
        ("train.augment.rotate", "rotate_deg"),
        ("inference.tile", "tile_px"),
        ("split.vall", "val"),
        ("train.loss.dice_wieght", "dice_weight"),
    ],
)
def test_an_unknown_key_gets_a_near_name(key: str, near: str) -> None:
    with pytest.raises(
        ConfigurationError, match=re.escape(f"  - {key}: unknown key; did you mean '{near}'?")
    ):
        Params.parse(_changed({key: 1}))


def test_a_key_like_no_other_gets_no_guess() -> None:
    with pytest.raises(ConfigurationError, match=r"zzzzzz: unknown key$"):
        Params.parse(_changed({"zzzzzz": 1}))


def test_a_missing_key_inside_a_choice_is_named_as_the_file_would_spell_it() -> None:
    values = _root_values()
    del values["split"]["test"], values["train"]["loss"]["dice_weight"]
    with pytest.raises(ConfigurationError) as caught:
        Params.parse(values)
    assert str(caught.value).splitlines()[1:] == [
        "  - split.test: missing",
        "  - train.loss.dice_weight: missing",
    ]


def test_an_unknown_choice_lists_the_choices() -> None:
    with pytest.raises(
        ConfigurationError, match=r"- split.kind: .*'fraction', 'sample_holdout', 'fixed_manifest'"
    ):
        Params.parse(_changed({"split.kind": "random"}))


@pytest.mark.parametrize("values", [None, [], "text", 3, [{"project": 1}]])
def test_a_file_that_is_no_table_is_refused(values: object) -> None:
    with pytest.raises(ConfigurationError, match=r"1 fault\(s\):\n  - the whole: "):
        Params.parse(values)


def test_every_section_is_asked_for() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Params.parse({})
    assert str(caught.value).count(": missing") == len(Params.model_fields)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split.val": 0.5, "split.test": 0.5}, "split: val 0.5 + test 0.5 leave nothing to train on"),
        (
            {"inference.overlap_px": 129},
            "inference: overlap_px 129 is more than half of tile_px 256; use at most 128",
        ),
        ({"data.illuminations": ["XPL400X"]}, "data.illuminations.0: illumination 'XPL400X'"),
    ],
)
def test_values_that_contradict_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        Params.parse(_changed(changes))


def test_illuminations_get_their_canonical_names() -> None:
    params = Params.parse(_changed({"data.illuminations": ["ppl", "xpl040", "XPL22.50"]}))
    assert params.data.illuminations == ("PPL", "XPL40", "XPL22.5")


def test_replacing_gives_a_changed_copy() -> None:
    changed = PARAMS.replace(
        {"train.epochs": 3, "train.augment.noise": 1, "split": {"kind": "fixed_manifest"}}
    )
    assert changed.train.epochs == 3
    assert changed.train.augment.noise == 1.0
    assert changed.split.kind == "fixed_manifest"
    assert Params.parse(_root_values()) == PARAMS


@pytest.mark.parametrize("key", WRONG)
def test_replacing_validates_again(key: str) -> None:
    with pytest.raises(ConfigurationError, match="the changed parameters"):
        PARAMS.replace({key: WRONG[key][0]})


@pytest.mark.parametrize("key", ["tran.epochs", "train.epochs.more", "project.seed.x"])
def test_replacing_in_no_section_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{key}: no such section"):
        PARAMS.replace({key: 1})


def test_replacing_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'epochs'"):
        PARAMS.replace({"train.epoch": 1})


def test_parameters_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PARAMS.train.epochs = 3  # type: ignore[misc]


def test_flat_values_are_by_dotted_key() -> None:
    flat = PARAMS.flat()
    assert flat["train.augment.rotate_deg"] == PARAMS.train.augment.rotate_deg
    assert flat["split.kind"] == "fraction"
    assert not any(isinstance(value, dict) for value in flat.values())


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@LAW
@given(key=st.sampled_from([*Params.model_fields, *PARAMS.flat()]), value=PLAIN)
def test_whatever_a_file_holds_is_read_or_refused(key: str, value: object) -> None:
    match _outcome(_changed({key: value})):
        case Params() as params:
            assert Params.parse(params.model_dump(mode="json")) == params
        case str(message):
            assert key.split(".", maxsplit=1)[0] in message


def _outcome(values: object) -> Params | str:
    try:
        return Params.parse(values)
    except ConfigurationError as error:
        return str(error)


def test_a_reference_must_be_a_view_that_there_is() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Params.parse(_changed({"align.reference": "RL"}))
    assert str(caught.value).endswith(
        "the whole: align.reference RL is not in data.illuminations (PPL, XPL0, XPL45)"
    )

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from mineralseg.errors import ConfigurationError
from mineralseg.tracking.names import checked_identifier, metric_keys, metric_name, metric_names


@pytest.mark.parametrize(
    ("mineral", "expected"),
    [
        ("quartz", "quartz"),
        ("quartz (α)", "quartz_α"),
        ("Fe-Ti oxide / ilmenite", "Fe-Ti oxide_ilmenite"),
        ("полевой шпат", "полевой шпат"),
        ("石英", "石英"),
        ("_private", "_private"),
    ],
)
def test_a_mineral_keeps_what_a_store_accepts(mineral: str, expected: str) -> None:
    assert metric_names([mineral]) == [expected]


def test_slashes_group_scores_and_stay() -> None:
    assert metric_name("val/iou/quartz (α)") == "val/iou/quartz_α"


def test_names_that_would_meet_are_told_apart_whatever_their_order() -> None:
    names = ["quartz_α", "quartz (α)", "quartz [α]"]
    forward = dict(zip(names, metric_names(names), strict=True))
    backward = dict(zip(names[::-1], metric_names(names[::-1]), strict=True))
    assert forward == backward
    assert len(set(forward.values())) == 3
    assert forward["quartz_α"] == "quartz_α"


@example(["..0", "..", ".", " ", "?_ ..a", "x" * 300])
@given(
    st.lists(st.text(min_size=1, max_size=60), unique=True, max_size=8)
    | st.lists(st.text("._ ?a", min_size=1), unique=True)
)
def test_any_names_become_distinct_ones_that_mlflow_takes(names: list[str]) -> None:
    parts = metric_names(names)
    assert len(set(parts)) == len(names)
    for part in [*parts, *metric_keys([f"val/iou/{name}" for name in names])]:
        _validate_metric_name(part)  # type: ignore[no-untyped-call]
    assert all("/" not in part for part in parts)


@example("?_ ..a")
@given(st.text(max_size=300) | st.text("._ ?/a", max_size=12))
def test_making_a_name_legal_twice_changes_nothing_more(name: str) -> None:
    assert metric_name(metric_name(name)) == metric_name(name)


@pytest.mark.parametrize("text", ["", "../up", "a/b", "/abs", "a\nb", "a\0b", "-dash", "é", "x" * 101, "a'b"])
def test_a_dangerous_identifier_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a legal name"):
        checked_identifier(text, what="model name")


def test_a_plain_identifier_passes() -> None:
    assert checked_identifier("mineralseg-v2.1_a", what="model name") == "mineralseg-v2.1_a"

"""Names that a tracking store accepts, made from the names that geologists use."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence

from mineralseg.errors import ConfigurationError

_ILLEGAL = re.compile(r"\s*[^\w.\- :]+\s*")
_LONGEST_PART = 80
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def metric_names(names: Sequence[str]) -> list[str]:
    """Return, in order, a distinct legal part of a metric name for each of the distinct `names`.

    `quartz (α)` becomes `quartz_α`; letters of any alphabet stay. A name that is legal already keeps
    itself. Where two names would become one, those that had to be changed end in four digits of their
    own hash, so that the result depends neither on their order nor on the run.
    """
    return _distinct(names, _legal)


def metric_keys(names: Sequence[str]) -> list[str]:
    """Return distinct legal metric names as `metric_names` does, keeping the slashes that group them."""
    return _distinct(names, metric_name)


def metric_name(name: str) -> str:
    """Return `name` with every part between slashes made legal: `val/iou/quartz (α)`, `val/iou/quartz_α`."""
    return "/".join(_legal(part) for part in name.split("/"))


def checked_identifier(text: str, *, what: str) -> str:
    """Return `text` when it can safely be a name in a store, a path and a query.

    Args:
        text: a model name, run id or fingerprint.
        what: what it names, for the message.

    Raises:
        ConfigurationError: it is empty, too long or has other characters than A-Z a-z 0-9 . _ -
    """
    if not _IDENTIFIER.fullmatch(text):
        raise ConfigurationError(
            f"{what} {text!r}",
            found="not a legal name",
            expected="1 to 100 of the characters A-Z a-z 0-9 . _ - with a letter or digit first",
        )
    return text


def _distinct(names: Sequence[str], legal: Callable[[str], str]) -> list[str]:
    plain = [legal(name) for name in names]
    claims = Counter(plain)
    return [
        new if new == name or claims[new] == 1 else f"{new}-{_mark(name)}"
        for name, new in zip(names, plain, strict=True)
    ]


def _legal(part: str) -> str:
    """Return `part` in the characters that every store takes; what has none left is named by its hash."""
    legal = _ILLEGAL.sub("_", part).strip()
    if legal != part:
        legal = legal.strip("_ ")
    if legal.startswith(".."):  # a store may keep scores as files, and this leads out of their folder
        legal = legal.lstrip(". ")
    if not legal.strip("."):
        return f"unnamed-{_mark(part)}"
    if len(legal) > _LONGEST_PART:
        return f"{legal[:_LONGEST_PART]}-{_mark(part)}"
    return legal


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:4]

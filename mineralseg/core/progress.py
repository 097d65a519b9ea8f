"""Telling a person how far the work is."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes one line of text; a door decides where it goes."""


def silent(line: str) -> None:
    """Tell nobody."""

from hypothesis import settings

LAW = settings(max_examples=50, deadline=None, derandomize=True)
"""How a law is tried: the same examples every time, and no clock on a busy computer."""

FEW = settings(LAW, max_examples=15)
"""The same for laws whose every example takes a while."""

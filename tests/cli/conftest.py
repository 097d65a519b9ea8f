import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mineralseg.cli.main import run


@dataclass(frozen=True)
class Outcome:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def mineralseg(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the entry point of the program `mineralseg` in this process; a traceback fails the test."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["mineralseg", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run()
        code, said = ended.value.code, capsys.readouterr()
        assert code is None or isinstance(code, int)
        return Outcome(code or 0, said.out, said.err)

    return call

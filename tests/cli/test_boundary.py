"""Every failure that is not a bug becomes one message and its exit code."""

import subprocess
import sys

import pytest

from mineralseg import errors
from mineralseg.cli.boundary import error_boundary

CODES = {
    errors.ConfigurationError: 2,
    errors.DataFault: 3,
    errors.Busy: 4,
    errors.EnvironmentFault: 5,
    errors.UntrustedArtefact: 6,
    errors.Refused: 7,
}


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: str(kind.__name__))
def test_a_failure_is_told_on_stderr_and_by_the_exit_code(
    kind: type[errors.MineralsegError], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, error_boundary():
        raise kind("sample 4b", found="grey", expected="colour", fix="export it again")
    assert ended.value.code == CODES[kind]
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "error: sample 4b: grey; expected colour; export it again\n"


def test_several_faults_are_told_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [errors.DataFault(f"sample {n}", found="no mask") for n in range(3)]
    with pytest.raises(SystemExit) as ended, error_boundary():
        raise errors.DataFaults(faults)
    assert ended.value.code == 3
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_every_leaf_of_the_tree_has_a_code() -> None:
    leaves = {leaf for leaf in errors.MineralsegError.__subclasses__() if leaf is not errors.DataFaults}
    assert leaves == set(CODES)


def test_a_bug_shows_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), error_boundary():
        raise ZeroDivisionError


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, error_boundary():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_has_gone_is_no_error() -> None:
    code = (
        "from mineralseg.cli.boundary import error_boundary\n"
        "with error_boundary():\n"
        "    for _ in range(100_000):\n        print('a line', flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr is not None
    assert (writer.stderr.read(), writer.wait(timeout=30)) == ("", 0)
    writer.stderr.close()

from pathlib import Path

import pytest

from mineralseg.errors import EnvironmentFault
from mineralseg.io.programs import git_knows_its_user, run_dvc, run_git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    run_git(tmp_path, "init", "--quiet", "repo")
    return tmp_path / "repo"


def test_git_prints_what_it_was_asked(repository: Path) -> None:
    assert Path(run_git(repository, "rev-parse", "--show-toplevel").strip()) == repository.resolve()


def test_what_git_refuses_is_said_in_its_own_words(repository: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"rev-parse nothing in .*repo: fatal: ambiguous argument"):
        run_git(repository, "rev-parse", "nothing")


def test_git_knows_its_user_once_told(repository: Path) -> None:
    assert not git_knows_its_user(repository)
    run_git(repository, "config", "user.email", "a@b.c")
    assert git_knows_its_user(repository)


def test_a_machine_without_git_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"git: cannot be run .*; install it"):
        run_git(tmp_path, "status")
    assert not git_knows_its_user(tmp_path)


def test_dvc_is_the_one_of_this_python(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"status in .*not inside of a DVC repository"):
        run_dvc(tmp_path, "status")

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from mineralseg.errors import DataFault
from mineralseg.tracking.lineage import GitState, dvc_hashes, git_state, lineage_tags

LOCK = """schema: '2.0'
stages:
  align:
    cmd: python -m pipelines.align
    deps: [{path: data/raw, md5: aaa.dir}]
    outs:
    - {path: data/aligned, md5: 0123456789abcdef0123456789abcdef.dir, size: 1, nfiles: 2}
  report:
    cmd: x
"""


@pytest.fixture(autouse=True)
def own_git_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1\n", encoding="utf-8")
    (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_then_a_changed_repository(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert git_state(repository) == GitState(head, dirty=False)
    (repository / "code.py").write_text("2\n", encoding="utf-8")
    assert git_state(repository) == GitState(head, dirty=True)


def test_what_a_pipeline_writes_does_not_make_the_code_dirty(repository: Path) -> None:
    (repository / "dvc.lock").write_text("{}", encoding="utf-8")
    assert git_state(repository).dirty is True
    assert git_state(repository, apart_from=["dvc.lock"]).dirty is False


def test_asking_does_not_write_to_the_repository(repository: Path) -> None:
    index = repository / ".git" / "index"
    os.utime(repository / "code.py")
    before = index.stat().st_mtime_ns
    git_state(repository)
    assert index.stat().st_mtime_ns == before


def test_no_repository_no_commit_and_no_git_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_state(tmp_path) == GitState(None, None)
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) == GitState(None, None)
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == GitState(None, None)


def test_a_repository_of_someone_else_is_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for testing this
    assert git_state(repository) == GitState(None, None)


def test_hashes_come_from_the_lock_and_from_added_files(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "raw.dvc").write_text("outs:\n- {md5: bbb.dir, path: raw}\n", encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "x.dvc").write_text("outs:\n- {md5: ccc, path: x}\n", encoding="utf-8")
    assert dvc_hashes(tmp_path) == {
        "data/aligned": "0123456789abcdef0123456789abcdef.dir",
        "data/raw": "bbb.dir",
    }


@pytest.mark.parametrize("text", ["", "[]", "stages: 3", "stages: {a: {outs: 3}}", "stages: {a: 1}"])
def test_a_lock_without_outputs_has_no_hashes(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text, encoding="utf-8")
    assert dvc_hashes(tmp_path) == {}


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.getcwd []"])
def test_a_broken_or_hostile_lock_is_a_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text, encoding="utf-8")
    with pytest.raises(DataFault, match=r"dvc\.lock"):
        dvc_hashes(tmp_path)


def test_tags_lead_back_to_code_and_data(repository: Path) -> None:
    assert lineage_tags(repository) == {
        "git.commit": git(repository, "rev-parse", "HEAD"),
        "mlflow.source.git.commit": git(repository, "rev-parse", "HEAD"),
        "git.dirty": "false",
        "dvc.lock_sha256": hashlib.sha256(LOCK.encode()).hexdigest(),
        "dvc.data/aligned": "0123456789abcdef0123456789abcdef.dir",
    }


def test_a_bare_folder_has_no_lineage(tmp_path: Path) -> None:
    assert lineage_tags(tmp_path) == {}

"""The database file of a local store: made whole or not at all, checked, and moved with its folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mineralseg.errors import ConfigurationError, EnvironmentFault
from mineralseg.io.files import writing
from mineralseg.tracking.mlflow_api import SqlAlchemyStore, reporting

_BUSY_WAIT_S = 20.0
_ABSOLUTE_PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_SIDE_FILES = ("", "-journal", "-wal", "-shm")


def database_uri(database: Path) -> str:
    """Return the MLflow address of a database file.

    Raises:
        ConfigurationError: the path has a question mark, which such an address cannot hold.
    """
    if "?" in str(database):
        raise ConfigurationError(
            str(database), found="a question mark in the path", fix="rename the folder that has it"
        )
    return f"sqlite:///{database}"


def artifacts_uri(database: Path) -> str:
    """Return where the files of runs go: the folder `artifacts` beside the database."""
    return (database.parent / "artifacts").as_uri()


def prepare(database: Path, *, relocate: bool) -> str | None:
    """Make sure that `database` is a usable store; the caller holds the lock of its creation.

    Args:
        database: absolute path of the file, made when missing.
        relocate: whether paths recorded before the folder was moved are to be corrected.

    Returns:
        The address of the artifacts before the move, when there was one to correct.

    Raises:
        EnvironmentFault: the file is damaged, locked or cannot be made.
    """
    if not database.exists():
        _create(database)
        return None
    recorded = _recorded_artifacts(database)
    here = artifacts_uri(database)
    tail = f"/{database.parent.name}/artifacts"
    if not relocate or recorded == here or not recorded.endswith(tail):
        return None
    relocate_database(database, old=recorded, new=here)
    return recorded


def relocate_database(database: Path, *, old: str, new: str) -> None:
    """Replace the artifact address `old` by `new` wherever the database records it, or nowhere.

    Args:
        database: the file.
        old: address of the artifacts folder as recorded, `file:///...`.
        new: its address now.

    Raises:
        EnvironmentFault: the file is damaged or in use.
    """
    with _connection(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table, column in _ABSOLUTE_PATHS:
            connection.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "  # noqa: S608 - constants
                f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                {"old": old, "new": new},
            )
        connection.execute("COMMIT")


def _create(database: Path) -> None:
    """Make the database under another name and give it its own when complete.

    MLflow creates its tables in many steps; a process killed between them, or a second one that starts
    meanwhile, leaves a file that can never be opened again.
    """
    building = database.with_name(f"{database.name}.building")
    with writing(database):
        database.parent.mkdir(parents=True, exist_ok=True)
        for side in _SIDE_FILES:
            building.with_name(building.name + side).unlink(missing_ok=True)
    with reporting(database_uri(database)):
        store = SqlAlchemyStore(  # type: ignore[no-untyped-call]
            database_uri(building), artifacts_uri(database)
        )
        store.engine.dispose()
    with _connection(building) as connection:
        # Readers and one writer do not wait for each other: half the time with four writers.
        connection.execute("PRAGMA journal_mode=wal")
    with writing(database):
        building.replace(database)


def _recorded_artifacts(database: Path) -> str:
    """Return the address of the artifacts as the database was made with it; '' when it does not say."""
    with _connection(database) as connection:
        connection.execute("SELECT version_num FROM alembic_version").fetchone()
        row = connection.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
        ).fetchone()
    return str(row[0]).removesuffix("/0") if row else ""


@contextmanager
def _connection(database: Path) -> Iterator[sqlite3.Connection]:
    """Open the file without making it, and say what is wrong with it when it cannot be used."""
    try:
        with closing(
            sqlite3.connect(
                f"{database.as_uri()}?mode=rw", uri=True, timeout=_BUSY_WAIT_S, isolation_level=None
            )
        ) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise EnvironmentFault(
                str(database),
                found="locked by another process",
                fix="wait until it has ended, then run again",
            ) from error
        raise _damaged(database, error) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(database, error) from error


def _damaged(database: Path, error: sqlite3.Error) -> EnvironmentFault:
    return EnvironmentFault(
        str(database),
        found=f"not usable as an MLflow database ({error})",
        fix="restore it from a backup, or move it away to begin an empty one; the files of the runs stay "
        "in the folder `artifacts` beside it",
    )

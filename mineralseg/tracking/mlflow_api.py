"""The one address of MLflow: everything of it that the tracking package uses is imported here.

Importing this module costs about a second and sets MLflow's environment defaults (only those that the
user has not set), because MLflow reads some of them while it is imported. Nothing here is ever used to
load a model: MLflow's loaders run code that is stored with the model.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from mineralseg.errors import EnvironmentFault

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # MLflow would copy uv.lock and private package index addresses into the artifacts.
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOG_UV_FILES": "false",
    # Its own defaults keep a client waiting four minutes, silently, for a server that is down.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # What goes wrong is raised, and reported once; standard output belongs to results.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)

from sqlalchemy.exc import SADeprecationWarning, SQLAlchemyError  # noqa: E402 - after the environment

with warnings.catch_warnings():
    # MLflow 3.17 maps a relation in a way that SQLAlchemy 2.1 deprecates; it says so once, on import.
    warnings.filterwarnings("ignore", message="The ``noload`` loader", category=SADeprecationWarning)
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

__all__ = [
    "ArtifactRepository",
    "Dataset",
    "DatasetInput",
    "InputTag",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "MlflowRun",
    "ModelVersion",
    "Param",
    "RunTag",
    "SqlAlchemyStore",
    "address",
    "get_artifact_repository",
    "reporting",
]

_OURS_TO_FIX = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}
_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}


@contextmanager
def reporting(uri: str) -> Iterator[None]:
    """Turn a failure of the store at `uri` into an `EnvironmentFault` that names its address.

    An answer such as "no such run" is not a failure of the store and passes through as MLflow raised it.
    """
    try:
        yield
    except MlflowException as error:
        if error.error_code in _OURS_TO_FIX:
            raise
        denied = error.error_code in _DENIED
        raise EnvironmentFault(
            f"tracking store {address(uri)}",
            found=_first_line(error),
            fix="check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            if denied
            else "check that the store can be reached and written, then run again",
        ) from error
    except (SQLAlchemyError, OSError) as error:
        raise EnvironmentFault(
            f"tracking store {address(uri)}",
            found=_first_line(error),
            fix="check that the store can be reached and written, then run again",
        ) from error


def address(uri: str) -> str:
    """Return `uri` without the user name and password it may hold, for messages and logs."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

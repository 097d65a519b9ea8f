"""The one place where an error becomes a message and an exit code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mineralseg.errors import MineralsegError


@contextmanager
def error_boundary() -> Iterator[None]:
    """Print a `MineralsegError` as one message and exit with its code; a bug passes with its traceback."""
    try:
        yield
    except MineralsegError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the CLI prints
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)  # noqa: T201
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def tell(line: str) -> None:
    """Print one line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201

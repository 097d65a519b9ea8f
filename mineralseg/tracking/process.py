"""Which process keeps a run open, and whether it still lives."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

HOST, PROCESS = "mineralseg.host", "mineralseg.process"
_DEAD_STATES = {"Z", "X"}


def identity_tags() -> dict[str, str]:
    """Return the tags that tell this process from every other, on this host and in its containers.

    A process number alone is used again after a while, and means something else in a container.
    """
    pid = os.getpid()
    return {HOST: socket.gethostname(), PROCESS: f"{_pid_space()}/{pid}/{_started(pid) or '?'}"}


def lives(tags: Mapping[str, str]) -> bool | None:
    """Return whether the process that `tags` name is still at work.

    None when it cannot be known from here: another host, another container, or tags of someone else.
    """
    space, _, rest = tags.get(PROCESS, "").partition("/")
    pid, _, started = rest.partition("/")
    if tags.get(HOST) != socket.gethostname() or space != _pid_space() or not pid.isdecimal():
        return None
    return _started(int(pid)) == started


def _pid_space() -> str:
    """Return what distinguishes this container's process numbers from those of others; '' outside Linux."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when process `pid` began, in clock ticks since boot; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self").exists() else "?"
    except OSError:
        return None
    # The second field is the program's name in brackets and may itself hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _DEAD_STATES else fields[19]

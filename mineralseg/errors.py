"""Everything that can go wrong and is not a bug, drawn once.

    MineralsegError
    ├── ConfigurationError   exit 2   params.yaml, the command line, a path that is not what it must be
    ├── DataFault            exit 3   one image, mask, legend or table is not usable
    ├── DataFaults           exit 3   several of them, all listed
    ├── Busy                 exit 4   another process holds the lock
    ├── EnvironmentFault     exit 5   disk, rights, server, memory: retrying later is safe
    ├── UntrustedArtefact    exit 6   a bundle or weights file that is not what its record says
    └── Refused              exit 7   a quality gate said no

An error names the object, what was found, what was expected and what to do. Anything that is not a
`MineralsegError` is a bug (exit 1) and shows its traceback.
"""

from collections.abc import Sequence


class MineralsegError(Exception):
    """A failure that its reader can act on; `str()` of it is the whole message."""

    exit_code = 1

    def __init__(self, subject: object, *, found: str, expected: str = "", fix: str = "") -> None:
        """Say what is wrong with `subject`.

        Args:
            subject: the file, key or object concerned.
            found: what is there.
            expected: what should be there.
            fix: what the reader can do about it.
        """
        self.subject, self.found, self.expected, self.fix = str(subject), found, expected, fix
        parts = [f"{self.subject}: {found}"]
        if expected:
            parts.append(f"expected {expected}")
        if fix:
            parts.append(fix)
        super().__init__("; ".join(parts))


class ConfigurationError(MineralsegError):
    """The parameters or the command line ask for something that cannot be."""

    exit_code = 2


class DataFault(MineralsegError):
    """One input file or sample is not usable."""

    exit_code = 3


class Busy(MineralsegError):
    """Another process is working on the same object."""

    exit_code = 4


class EnvironmentFault(MineralsegError):
    """The machine or a service failed; the same call may succeed later."""

    exit_code = 5


class UntrustedArtefact(MineralsegError):
    """A model artefact differs from its record, and is not used."""

    exit_code = 6


class Refused(MineralsegError):
    """A quality gate was not passed."""

    exit_code = 7


class DataFaults(MineralsegError):
    """Several faults of the data, found in one pass."""

    exit_code = 3

    def __init__(self, faults: Sequence[MineralsegError]) -> None:
        """Gather `faults` (at least one) under one message, a line each."""
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        noun = "fault" if len(self.faults) == 1 else "faults"
        Exception.__init__(self, f"{len(self.faults)} {noun} in the data:\n{lines}")

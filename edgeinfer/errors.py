"""The one tree of errors. Each message reads "where: expected X, got Y" with a hint that works when pasted.

EdgeinferError
├── UsageError          64  the command line is wrong
├── DataError           65  bytes that are not what they claim to be
│   ├── ManifestError       manifest.json is malformed or contradicts the model
│   ├── BundleError         archive, digest or member is wrong
│   ├── ModelError          the model file cannot be loaded or run
│   └── ProbeError          the model loads but gives the wrong answers
├── SourceError         66  a camera, file or child process does not deliver
│   └── RowError            a row of a file cannot be used; those behind it can
├── UnavailableError    69  a runtime, delegate or broker is not there
├── StorageError        74  the disk under the outbox or a bundle fails
└── ConfigError         78  a configuration has faults (all are listed)
    └── BudgetError         the memory bill exceeds the budget
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "BudgetError",
    "BundleError",
    "ConfigError",
    "DataError",
    "EdgeinferError",
    "Fault",
    "ManifestError",
    "ModelError",
    "ProbeError",
    "RowError",
    "SourceError",
    "StorageError",
    "UnavailableError",
    "UsageError",
]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where it is, what was expected, what was found, what to do."""

    where: str
    expected: str
    got: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{self.where}: expected {self.expected}, got {self.got}"
        return f"{line}\n  hint: {self.hint}" if self.hint else line


class EdgeinferError(Exception):
    """Anything wrong with input from outside. Wrong use of the code is a RuntimeError instead."""

    exit_code = 70  # EX_SOFTWARE: only a subclass is ever raised

    def __init__(self, where: str, expected: str, got: str, hint: str = "") -> None:
        self.faults: tuple[Fault, ...] = (Fault(where, expected, got, hint),)
        super().__init__(str(self.faults[0]))

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> EdgeinferError:
        """One error that lists several faults."""
        first = faults[0]
        error = cls(first.where, first.expected, first.got, first.hint)
        error.faults = tuple(faults)
        error.args = ("\n".join(str(fault) for fault in faults),)
        return error


class UsageError(EdgeinferError):
    """The command line asks for something that does not exist or does not go together."""

    exit_code = 64


class DataError(EdgeinferError):
    """Bytes are not what they claim to be."""

    exit_code = 65


class ManifestError(DataError):
    """The manifest is malformed, or contradicts the model file."""


class BundleError(DataError):
    """The bundle's archive, a digest or a member is wrong."""


class ModelError(DataError):
    """The model file cannot be loaded, or its tensors do not fit the manifest."""


class ProbeError(DataError):
    """The model runs, and its known-answer probes give other answers on this device."""


class SourceError(EdgeinferError):
    """A camera, a file or a child process does not deliver frames or samples."""

    exit_code = 66


class RowError(SourceError):
    """A row of a file cannot be used. The next read goes on behind it."""


class UnavailableError(EdgeinferError):
    """A runtime, a delegate or a service that is needed is not there."""

    exit_code = 69


class StorageError(EdgeinferError):
    """The disk does not take or give what it should."""

    exit_code = 74


class ConfigError(EdgeinferError):
    """A configuration has faults; all of them are listed."""

    exit_code = 78


class BudgetError(ConfigError):
    """The memory bill does not fit the budget."""

"""A process that computes: tasks come through a socket that it inherits, pieces go back.

    python -m edgeinfer.batch.worker DESCRIPTOR SETUP

It ends when the socket does, so none outlives the run that started it.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from edgeinfer.batch.piece import Failure, Ready, Task
from edgeinfer.batch.reader import Reader
from edgeinfer.enrolment import set_of
from edgeinfer.errors import BundleError, DataError, EdgeinferError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import read
from edgeinfer.model.engine import Engine

__all__ = ["Setup", "main", "reader"]


class Setup(msgspec.Struct, frozen=True):
    """What to compute with: the bundle's folder, its digest, and what the command line says."""

    folder: str
    digest: str
    runtime: RuntimeOptions
    threshold: float | None
    every: int
    state: str = ""  # the folder with who is enrolled, where the model compares
    enrolled: str = ""  # their digest


def main() -> None:
    """Serve until the other end is gone."""
    connection = Connection(int(sys.argv[1]))
    setup = msgspec.json.decode(sys.argv[2], type=Setup)
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Task).decode
    try:
        try:
            inputs = reader(setup)
        except EdgeinferError as error:
            faults = tuple((fault.where, fault.expected, fault.got, fault.hint) for fault in error.faults)
            connection.send_bytes(encode(Failure(type(error).__name__, faults)))
            return
        connection.send_bytes(encode(Ready()))
        while True:
            for piece in inputs.pieces(decode(connection.recv_bytes())):
                connection.send_bytes(encode(piece))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def reader(setup: Setup) -> Reader:
    """The model, loaded. Raises what reading a bundle, who is enrolled, and loading a model raise."""
    bundle = read(Path(setup.folder))
    if bundle.digest != setup.digest:
        raise BundleError(setup.folder, f"the bundle of the beginning ({setup.digest[:12]})", bundle.digest[:12],
                          "start the same command anew: it refuses, or goes on with --restart")
    found = set_of(bundle, Path(setup.state)) if setup.state else None
    if found is not None and found[1].digest != setup.enrolled:
        raise DataError(str(found[0]), "those who were enrolled at the beginning", "others",
                        "start the same command anew: it refuses, or goes on with --restart")
    return Reader(Engine(bundle, setup.runtime), setup.threshold, setup.every, found[1] if found is not None else None)


if __name__ == "__main__":
    main()

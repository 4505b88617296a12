"""A run: its folder beside the output, the list of inputs in it, rows added until all are there, then the output.

    results.csv.batch/lock, inputs, plan.json     what is to be done: fixed at the beginning
    results.csv.batch/rows.jsonl, checkpoint.json what is done (``journal``)

The output appears at the end, whole; the folder is gone then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edgeinfer import durable
from edgeinfer.batch import listing
from edgeinfer.batch.export import export
from edgeinfer.batch.journal import Checkpoint, Journal
from edgeinfer.batch.piece import Piece, Task
from edgeinfer.batch.progress import Pace, Progress
from edgeinfer.errors import StorageError, UsageError

__all__ = ["Computing", "Plan", "Run"]

_RESTART = "begin anew, without what is there: the same command with --restart"


class Computing(Protocol):
    """Workers, here or in a cluster."""

    def pieces(self, tasks: Iterator[Task], head: int) -> Iterator[Piece | None]:
        """The pieces of all tasks in the order of the inputs, the first of which is number ``head``; None where time goes by."""
        ...

    def close(self) -> None:
        """Nothing of it is left."""
        ...


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the rows. ``bundle`` is its digest, ``inputs`` the SHA-256 of the list."""

    v: int = 1
    model: str
    bundle: str
    accelerators: tuple[str, ...]
    threshold: float | None
    every: int
    enrolled: str = ""  # the digest of those whom the model compares with
    count: int = 0
    inputs: str = ""


class Run:
    """One run from its beginning, or from where it was stopped, to its end. One thread's."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.name}.batch")
        self.resumed = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder, made where it is not there, and nobody else's. Raises UsageError, StorageError."""
        busy = UsageError(str(self.output), "one run for this output", "another that is at it", "wait for it, or take another -o")
        with ExitStack() as held:
            try:
                durable.make_folder(self.folder)
                held.enter_context(durable.locked(self.folder / "lock", 0.0, busy))
            except OSError as error:
                raise _fault(self.folder, error) from error
            try:
                yield
            finally:
                if not self._worth_keeping():
                    with suppress(OSError):
                        durable.clear(self.folder)

    def _worth_keeping(self) -> bool:
        """Whether there is something to go on with."""
        with suppress(OSError):
            return (self.folder / "plan.json").exists() and (self.folder / "rows.jsonl").stat().st_size > 0
        return False

    def begin(self, plan: Plan, paths: Callable[[Path], Iterator[str]] | None, limit: int | None, restart: bool) -> Plan:
        """The plan with its list of inputs. What is there of an earlier run is gone on with, if its plan is the same.

        ``paths`` gives the inputs (with a folder for what it must keep on disk); None: those of the run that was stopped.
        Raises UsageError where there is an output already, or plans differ; SourceError as the listing does; StorageError.
        """
        try:
            if restart:
                self._clear()
            known = self._known()
            if known is None and self.output.exists() and not restart:
                raise UsageError(str(self.output), "no such file yet", "one of an earlier run", _RESTART)
            if known is None and paths is None:
                raise UsageError("INPUTS", "at least one input", f"none, and no run of {self.output.name} to go on with")
            plan = self._listed(plan, paths, limit, known)
            if known is None:
                durable.write(self.folder / "plan.json", msgspec.json.encode(plan))
            elif known != plan:
                raise self._refusal(known, plan)
        except OSError as error:
            raise _fault(self.folder, error) from error
        self.resumed = known is not None
        return plan

    def _clear(self) -> None:
        for name in ("plan.json", "checkpoint.json", "rows.jsonl"):  # the plan first: without it nothing else counts
            durable.remove(self.folder / name)

    def _known(self) -> Plan | None:
        try:
            return msgspec.json.decode(durable.small(self.folder / "plan.json"), type=Plan)
        except FileNotFoundError:
            for name in ("checkpoint.json", "rows.jsonl"):
                durable.remove(self.folder / name)
            return None
        except msgspec.DecodeError as error:
            raise UsageError(str(self.folder / "plan.json"), "a plan of this version", str(error), _RESTART) from error

    def _listed(self, plan: Plan, paths: Callable[[Path], Iterator[str]] | None, limit: int | None, known: Plan | None) -> Plan:
        if paths is None:
            assert known is not None
            return msgspec.structs.replace(plan, count=known.count, inputs=known.inputs)
        fresh = self.folder / "inputs.new"
        try:
            listed = listing.write(paths(self.folder), fresh, limit)
            if known is None:
                fresh.replace(self.folder / "inputs")
                durable.sync_folder(self.folder)
            elif known.inputs != listed.digest:
                before, now = listing.difference(self.folder / "inputs", fresh)
                raise UsageError(before, "the inputs of the run that was stopped", now,
                                 f"go on with those: the same command without inputs; or {_RESTART}")
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
        return msgspec.structs.replace(plan, count=listed.count, inputs=listed.digest)

    def _refusal(self, known: Plan, plan: Plan) -> UsageError:
        name = next(name for name in Plan.__struct_fields__ if getattr(known, name) != getattr(plan, name))
        return UsageError(f"{self.output}: {name}", f"{getattr(known, name)}, as in the run that was stopped",
                          str(getattr(plan, name)), _RESTART)

    def work(self, plan: Plan, computing: Computing, progress: Progress, note: Callable[[], str]) -> dict[str, Any]:
        """Add rows until all are there, then write the output; the summary. ``note`` says why nothing goes on, where it does not.

        Stopped by an exception of any kind, it leaves a checkpoint of all that came.
        """
        if self._only_to_clear(plan):
            journal_state, pace = self._saved(), Pace(plan.count, plan.count)
        else:
            journal = Journal(self.folder)
            pace = Pace(journal.state.done, plan.count, journal.state.emitted > 0)
            pace.failed = journal.state.failed
            with closing(journal):
                self._fill(plan, journal, computing, progress, pace, note)
            journal_state = journal.state
            export(journal.path, self.output)
        self._leave()
        return _summary(plan, journal_state, pace, self)

    def _fill(self, plan: Plan, journal: Journal, computing: Computing, progress: Progress, pace: Pace,
              note: Callable[[], str]) -> None:
        state = journal.state
        if state.done >= plan.count:
            return
        tasks = listing.tasks(self.folder / "inputs", state.done, state.emitted)
        for piece in computing.pieces(tasks, state.done):
            if piece is not None:
                journal.add(piece)
                pace.tell(piece)
                continue
            why = note()
            pace.tick(not why)
            journal.save_if_due()
            progress.show(pace, why)

    def _only_to_clear(self, plan: Plan) -> bool:
        """The rows were moved to the output, and then the run was stopped."""
        done = self._saved().done == plan.count
        return done and not (self.folder / "rows.jsonl").exists() and self.output.exists()

    def _saved(self) -> Checkpoint:
        try:
            return msgspec.json.decode(durable.small(self.folder / "checkpoint.json"), type=Checkpoint)
        except (OSError, msgspec.DecodeError):
            return Checkpoint()

    def _leave(self) -> None:
        try:
            self._clear()
        except OSError as error:
            raise _fault(self.folder, error) from error


def _summary(plan: Plan, state: Checkpoint, pace: Pace, run: Run) -> dict[str, Any]:
    """``seconds``, ``throughput`` (inputs a second) and ``latency_ms`` are of this run; the counts are of all."""
    return {"v": 1, "model": plan.model, "output": str(run.output), "inputs": plan.count, "rows": state.rows,
            "failed": state.failed, "resumed": run.resumed, "seconds": round(pace.busy_s, 3),
            "throughput": round(pace.rate, 3), "latency_ms": pace.latency.summary(), "finished": _now()}


def _now() -> str:
    from edgeinfer.payload import timestamp

    return timestamp(time.time_ns())


def _fault(path: Path, error: OSError) -> StorageError:
    return StorageError(str(path), "a folder beside the output that can be written to", error.strerror or str(error),
                        "take another -o")

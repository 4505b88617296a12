"""Processes that compute on this machine's cores, and how their pieces come together in order."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

import msgspec

import edgeinfer
from edgeinfer import errors
from edgeinfer.batch.hours import Hours
from edgeinfer.batch.order import Order
from edgeinfer.batch.piece import Failure, Message, Piece, Ready, Task
from edgeinfer.batch.reader import died
from edgeinfer.batch.worker import Setup
from edgeinfer.errors import EdgeinferError, Fault, ModelError, UnavailableError
from edgeinfer.log import log

__all__ = ["Crew"]

_AHEAD = 4  # tasks that wait at each worker
_WINDOW = 64  # inputs a worker that may be under way, from the first that is not done
_MOST_WAITING = 8 << 20  # bytes of pieces that wait for an earlier input: beyond it their workers wait
_TICK_S = 0.5
_MOST_STARTS = 3  # in a row that come to nothing


class Crew:
    """``size`` workers, each a process with an engine of its own. One that dies is started anew, with the tasks it had.

    An input at which a worker died is tried once more; then it is an error of its own. Memory is bounded: workers that are far
    ahead wait, their pipes full. Outside the hours there are no workers, so their memory is free.
    """

    def __init__(self, setup: Setup, model: str, size: int, hours: Hours) -> None:
        self._setup, self._model, self._hours = setup, model, hours
        self._members = [_Member(setup) for _ in range(size)]
        self._decode = msgspec.msgpack.Decoder(Message).decode
        self._bare_deaths = 0

    def pieces(self, tasks: Iterator[Task], head: int) -> Iterator[Piece | None]:
        """The pieces of all tasks in the order of the inputs, the first of which is number ``head``; None now and then where
        none comes. Raises what the workers cannot load the model for, and ModelError where they die before they have."""
        order = Order(head)
        waiting = _Peekable(tasks)
        while True:
            if self._hours.open():
                self._deal(waiting, order)
            if any(member.tasks for member in self._members):
                self._collect(order)
                yield from order.ready()
                yield None
            elif waiting.empty():
                return
            else:
                self.close()
                yield None
                time.sleep(self._hours.nap_s())

    def _deal(self, waiting: _Peekable, order: Order) -> None:
        """The next tasks to those with the least to do."""
        window = order.head + _WINDOW * len(self._members)
        for _ in range(_AHEAD):
            for member in sorted(self._members, key=lambda member: len(member.tasks)):
                task = waiting.first()
                if task is None or task.number >= window or len(member.tasks) >= _AHEAD:
                    return
                member.give(waiting.take())

    def _collect(self, order: Order) -> None:
        """What has come within a moment. Of those who are ahead nothing is read while much waits for the first."""
        heard = {member.connection: member for member in self._members if member.connection is not None and (
            order.nbytes < _MOST_WAITING or (member.tasks and member.tasks[0].number == order.head))}
        arrived = wait(list(heard), _TICK_S)
        for connection, member in heard.items():
            if connection not in arrived:
                continue
            try:
                self._take(member, self._decode(connection.recv_bytes()), order)
            except (EOFError, ConnectionResetError):
                self._bury(member, order)

    def _take(self, member: _Member, message: Message, order: Order) -> None:
        if isinstance(message, Failure):
            cls: type[EdgeinferError] = getattr(errors, message.error, ModelError)
            raise cls.of([Fault(*fault) for fault in message.faults])
        if isinstance(message, Ready):
            self._bare_deaths = 0
            member.ready = True
            return
        order.put(message)
        task = member.tasks.popleft()
        if not message.done:  # the rest comes; whoever has to go on for this worker skips what has come
            member.tasks.appendleft(msgspec.structs.replace(task, skip=task.skip + len(message.rows)))
        else:
            member.died_at = -1

    def _bury(self, member: _Member, order: Order) -> None:
        """A worker died: the input it was at is tried once more, by a new one that inherits its tasks."""
        how, was_ready = member.end(), member.ready
        if not was_ready:
            self._bare_deaths += 1
            if self._bare_deaths >= _MOST_STARTS:
                raise ModelError(self._model, "a model that a worker can load", f"{how}, {_MOST_STARTS} times in a row",
                                 "the same command goes on where it stopped, with fewer --workers where memory is short")
        task = member.tasks[0] if member.tasks else None
        if task is not None and was_ready:
            log.warning("%s: %s; trying again", task.shown, how)
            if member.died_at == task.number:
                member.tasks.popleft()
                index = task.skip * self._setup.every
                order.put(Piece(task.number, (died(task, index, self._model, how),), done=True, failed=True))
            member.died_at = task.number
        if member.tasks:
            member.start()

    def forget(self) -> None:
        """Nothing is under way any more; a worker that was at it is ended."""
        for member in self._members:
            if member.tasks:
                member.tasks.clear()
                member.end()

    def close(self) -> None:
        """No worker is left."""
        for member in self._members:
            member.hang_up()
        for member in self._members:
            member.end()


class _Member:
    """One worker, started when there is something to do, and the tasks that it has, in their order."""

    def __init__(self, setup: Setup) -> None:
        self.tasks: deque[Task] = deque()
        self.ready = False
        self.died_at = -1  # the input at which the worker before died
        self.connection: Connection | None = None
        self._setup = msgspec.json.encode(setup).decode()
        self._process: subprocess.Popen[bytes] | None = None
        self._encode = msgspec.msgpack.Encoder().encode

    def give(self, task: Task) -> None:
        self.tasks.append(task)
        if self.connection is None:
            self.start()
        else:
            self._send(task)

    def start(self) -> None:
        """Raises UnavailableError."""
        ours, theirs = socket.socketpair()
        package = Path(edgeinfer.__file__).resolve().parent.parent  # found from here, installed or not
        command = [sys.executable, "-m", "edgeinfer.batch.worker", str(theirs.fileno()), self._setup]
        try:  # its stdout is stderr: what a runtime prints is no result. A session of its own: Ctrl-C is for the run
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=(theirs.fileno(),),
                                             cwd=package, start_new_session=True)
        except OSError as error:
            ours.close()
            raise UnavailableError(command[0], "a process that can be started", str(error), "fewer --workers") from error
        finally:
            theirs.close()
        self.ready = False
        self.connection = Connection(ours.detach())
        for task in self.tasks:
            self._send(task)

    def _send(self, task: Task) -> None:
        assert self.connection is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is dead: its end is found when it is read
            self.connection.send_bytes(self._encode(task))

    def hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def end(self) -> str:
        """The process is gone; how it went, for people."""
        self.hang_up()
        process, self._process = self._process, None
        if process is None:
            return "no worker"
        try:
            code = process.wait(1.0)  # without its socket it ends by itself, and how it ended tells more than our signal
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"the worker was ended by {signal.Signals(-code).name}" if code < 0 else f"the worker ended with {code}"


class _Peekable:
    """Tasks, the next of which can be looked at."""

    def __init__(self, tasks: Iterator[Task]) -> None:
        self._tasks = tasks
        self._next = next(tasks, None)

    def first(self) -> Task | None:
        return self._next

    def take(self) -> Task:
        assert self._next is not None
        taken, self._next = self._next, next(self._tasks, None)
        return taken

    def empty(self) -> bool:
        return self._next is None

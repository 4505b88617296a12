"""The outbox against a model of plain lists."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgeinfer.storage import OVERHEAD
from tests.outboxes import balance, broken_disk, numbers, opened, put


class OutboxMachine(RuleBasedStateMachine):
    """The outbox against a model of plain lists: same order, same counts, whatever the order of events."""

    @initialize(live_first=st.booleans())
    def start(self, live_first: bool) -> None:
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)  # no fsync
        self.live_first = live_first
        self.next = 0
        self.open()
        self.staged: list[int] = []
        self.stored: list[int] = []  # not taken
        self.flying: dict[int, int] = {}  # number to id
        self.live: list[int] = []  # made since the connection came up
        self.sizes: dict[int, int] = {}
        self.dropped = 0
        self.acknowledged = 0

    def open(self) -> None:
        self.outbox = opened(Path(self.folder.name), max_bytes=65536, staging=8, live_first=self.live_first)
        self.outbox.rewind()

    @rule(count=st.integers(1, 10), size=st.sampled_from([0, 2000, 9000]))
    def put(self, count: int, size: int) -> None:
        for _ in range(count):
            put(self.outbox, self.next, size=size)
            self.staged.append(self.next)
            self.live.append(self.next)
            self.sizes[self.next] = len(b"%d" % self.next) + size + 2 + OVERHEAD
            self.next += 1
        self.dropped += max(len(self.staged) - 8, 0)
        del self.staged[:-8]

    @rule()
    def commit(self) -> None:
        self.outbox.commit()
        self.stored += self.staged
        self.staged = []
        excess = sum(self.sizes[number] for number in [*self.stored, *self.flying]) - 65536 if self.stored else 0
        for number in sorted(self.stored):
            if excess > 0:
                self.stored.remove(number)
                excess -= self.sizes[number]
                self.dropped += 1

    @rule(limit=st.integers(1, 12))
    def take(self, limit: int) -> None:
        order = sorted(self.stored, key=lambda number: (self.live_first and number not in self.live, number))
        wanted = order[:limit]
        taken = self.outbox.take(limit)
        assert numbers(taken) == wanted
        for row, replayed in taken:
            number = int(row.payload)
            assert replayed == (number not in self.live)
            self.flying[number] = row.id
            self.stored.remove(number)

    @precondition(lambda self: self.flying)
    @rule(choice=st.randoms(use_true_random=False), refused=st.booleans())
    def answer(self, choice: random.Random, refused: bool) -> None:
        number = choice.choice(list(self.flying))
        if refused:
            self.outbox.refuse(self.flying.pop(number), "no")
            self.dropped += 1
        else:
            self.outbox.acknowledge(self.flying.pop(number))
            self.acknowledged += 1

    @rule()
    def reconnect(self) -> None:
        self.outbox.release()
        self.outbox.rewind()
        self.stored = sorted([*self.stored, *self.flying])
        self.flying = {}
        self.live = []

    @rule()
    def reboot(self) -> None:
        self.reconnect()
        self.commit()
        self.outbox.close()
        self.open()
        self.dropped = self.acknowledged = 0
        assert self.outbox.counts()["carried"] == len(self.stored)

    @rule(count=st.integers(0, 6))
    def fail(self, count: int) -> None:
        with broken_disk():
            self.put(count, 0) if count else None
            self.outbox.commit(force=True)
        self.commit_after_fault()

    def commit_after_fault(self) -> None:
        self.outbox.commit(force=True)
        assert self.outbox.counts()["storage"] == "ok"
        self.commit()

    @invariant()
    def balances(self) -> None:
        counts = balance(self.outbox)
        assert counts["queued"] == len(self.staged) + len(self.stored) + len(self.flying)
        assert counts["acknowledged"] == self.acknowledged
        assert sum(counts["dropped"].values()) == self.dropped
        assert counts["bytes"] <= 65536

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.folder.cleanup()


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None,
                                      suppress_health_check=[HealthCheck.too_slow])

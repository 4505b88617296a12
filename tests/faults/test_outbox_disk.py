"""The outbox on disks that are full, broken, corrupt or late, and in processes that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.errors import StorageError
from edgeinfer.outbox import Outbox, OutboxOptions
from edgeinfer.storage import Database
from tests.outboxes import balance, broken_disk, numbers, opened, options, put, rows


def fill(path: Path) -> None:
    """Until the disk takes no more."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


@pytest.mark.parametrize("place", [0, 4096])
def test_a_corrupt_database_is_set_aside_at_start(tmp_path: Path, place: int) -> None:
    """A header or a page of rubbish: the file is moved, counted, and a new one begins."""
    outbox = opened(tmp_path)
    put(outbox, *range(200))
    outbox.close()
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.seek(place)
        file.write(b"\xa5" * 8192)
    again = opened(tmp_path)
    put(again, 7)
    again.commit()
    assert numbers(again.take(9)) == [7]
    assert balance(again)["corrupt_files"] == 1
    assert (tmp_path / "outbox.db.corrupt-1").exists()
    again.close()


def test_a_database_that_turns_corrupt_costs_what_was_in_it_and_says_so(tmp_path: Path) -> None:
    """Rows lost with the file are counted; those in flight and those that follow are not among them."""
    outbox = opened(tmp_path)
    for first in range(1000, 5000, 500):  # more than SQLite's page cache holds
        put(outbox, *range(first, first + 500), size=900)
        outbox.commit()
    in_flight = outbox.take(5)
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.write(b"\xa5" * os.path.getsize(tmp_path / "outbox.db"))
    outbox.take(3000)
    outbox.commit()
    put(outbox, 9001, 9002)
    outbox.commit()
    for row, _ in in_flight:
        outbox.acknowledge(row.id)
    counts = balance(outbox)
    assert (counts["corrupt_files"], counts["storage"]) == (1, "ok")
    assert 1000 < counts["dropped"]["lost"] < 4000
    assert counts["acknowledged"] == 5
    assert numbers(outbox.take(2)) == [9001, 9002]
    outbox.close()


def test_an_io_error_leaves_results_in_memory_until_the_disk_recovers(tmp_path: Path) -> None:
    """Nothing is lost while staging has room, and order is kept."""
    outbox = opened(tmp_path)
    put(outbox, 1, 2)
    outbox.commit()
    with broken_disk():
        put(outbox, 3, 4)
        outbox.commit()
        counts = balance(outbox)
        assert "I/O" in counts["storage"]
        assert (counts["storage_faults"], counts["staged"]) == (1, 2)
        outbox.commit(force=True)
    outbox.commit(force=True)
    assert balance(outbox)["storage"] == "ok"
    assert numbers(outbox.take(9)) == [1, 2, 3, 4]
    outbox.close()


@pytest.mark.parametrize("written", [False, True], ids=["before it", "in its COMMIT"])
def test_no_memory_for_a_transaction_is_a_fault_of_the_disk(written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the rows reached the disk or not: they are there once afterwards, and the equation holds."""
    outbox = opened(tmp_path)
    put(outbox, 1, 2)
    outbox.commit()
    put(outbox, 3, 4)
    write = Database.write

    def fail(*arguments: Any, **more: Any) -> None:
        if written:
            write(*arguments, **more)
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", fail)
        outbox.commit()
    assert balance(outbox)["storage"] == "MemoryError"
    outbox.acknowledge(outbox.take(1)[0].row.id)
    balance(outbox)
    outbox.release()
    outbox.commit(force=True)
    outbox.rewind()
    assert balance(outbox)["storage"] == "ok"
    left = outbox.take(9)
    assert numbers(left) == sorted(set(numbers(left)))
    assert len(left) == 3
    for row, _ in left:
        outbox.acknowledge(row.id)
    outbox.commit(force=True)
    assert balance(outbox)["queued"] == 0
    outbox.close()
    assert rows(tmp_path / "outbox.db", "SELECT count(*) FROM results") == [(0,)]


def test_while_the_disk_fails_results_are_sent_from_memory(tmp_path: Path) -> None:
    """They count as undurable; what the broker did not acknowledge goes to disk after the recovery."""
    outbox = opened(tmp_path)
    with broken_disk():
        put(outbox, 1, 2, 3)
        outbox.commit()
        taken = outbox.take(2)
        assert numbers(taken) == [1, 2]
        assert balance(outbox)["undurable"] == 2
        outbox.acknowledge(taken[0].row.id)
        outbox.release()
        balance(outbox)
    outbox.close()
    again = opened(tmp_path)
    assert numbers(again.take(9)) == [2, 3]
    again.close()


def test_a_disk_that_answers_late_keeps_the_earlier_boots_rows_first(tmp_path: Path) -> None:
    """Results made before the database could be read do not overwrite those that it holds."""
    outbox = opened(tmp_path)
    put(outbox, 1, 2, 3)
    outbox.close()
    (tmp_path / "outbox.db").rename(tmp_path / "hidden")
    (tmp_path / "outbox.db").mkdir()
    late = Outbox(options(tmp_path))
    late.open()
    assert balance(late)["storage"] != "ok"
    put(late, 4, 5)
    assert numbers(late.take(1)) == [4]
    (tmp_path / "outbox.db").rmdir()
    (tmp_path / "hidden").rename(tmp_path / "outbox.db")
    late.commit(force=True)
    assert balance(late)["carried"] == 3
    late.release()
    late.commit()
    late.rewind()
    assert numbers(late.take(9)) == [1, 2, 3, 4, 5]
    late.close()


def test_a_full_disk_can_still_shrink(small_disk: Path) -> None:
    """Acknowledged rows leave a disk that takes nothing, and then there is room for new ones."""
    outbox = opened(small_disk, max_bytes=512 * 1024)
    put(outbox, *range(100, 200), size=997)
    outbox.commit()
    filler = small_disk / "filler"
    fill(filler)
    while balance(outbox)["storage"] == "ok":
        put(outbox, *range(200, 220), size=997)
        outbox.commit()
    assert "full" in balance(outbox)["storage"]
    fill(small_disk / "what the ballast gave")
    for row, _ in outbox.take(100):
        outbox.acknowledge(row.id)
    outbox.commit(force=True)
    outbox.commit(force=True)
    assert balance(outbox)["storage"] == "ok", "the freed pages take the new rows"
    assert not (small_disk / "outbox.db-ballast").exists()
    outbox.close()
    assert rows(small_disk / "outbox.db", "SELECT count(*) FROM results") == [(balance(outbox)["queued"],)]


def test_what_the_disk_does_not_take_at_the_end_is_counted_as_lost(tmp_path: Path) -> None:
    """The equation holds to the end."""
    outbox = opened(tmp_path)
    put(outbox, 1)
    with broken_disk():
        outbox.close()
    assert balance(outbox)["dropped"] == {"lost": 1}


PUBLISHER = """
import sys, time
from edgeinfer.outbox import Outbox, OutboxOptions
from edgeinfer.storage import Database
outbox = Outbox(OutboxOptions(path=sys.argv[1], commit_delay_ms=0))
outbox.open()
number = int(sys.argv[2])
while True:
    for _ in range(3):
        outbox.put("t", b"%d" % number, "p")
        number += 1
    outbox.commit()
    print(number, flush=True)
"""


def test_no_committed_result_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    """Five times SIGKILL at a random moment: the database opens clean and has every row that a commit had returned for."""
    path = tmp_path / "outbox.db"
    committed = 0
    for _ in range(5):
        command = [sys.executable, "-c", PUBLISHER, str(path), str(committed)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0.01, 0.2))
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        outbox = opened(tmp_path)
        found = numbers(outbox.take(10**6))
        outbox.close()
        assert outbox.counts()["corrupt_files"] == 0
        assert found == list(range(len(found)))
        assert len(found) >= int(told[-1] if told else committed)
        committed = len(found)
    assert committed > 15


@pytest.mark.parametrize("content", [b"root:x:0:0:root:/root:/bin/bash\n", b"SQLite format 4 of another kind", b"x"])
def test_a_strangers_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """A file that never was an outbox is not set aside as a corrupt one: StorageError, and not a byte of it has changed."""
    path = tmp_path / "passwd"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="another program's file"):
        Outbox(OutboxOptions(path=str(path))).open()
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["passwd"]

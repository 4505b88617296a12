"""The outbox: nothing is lost that is not counted."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edgeinfer.errors import StorageError
from edgeinfer.storage import OVERHEAD
from tests.outboxes import balance, numbers, opened, put, rows


def test_results_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    """take gives rows by id, each once until it is released."""
    outbox = opened(tmp_path)
    put(outbox, 1, 2, 3, 4)
    outbox.commit()
    assert numbers(outbox.take(3)) == [1, 2, 3]
    assert numbers(outbox.take(3)) == [4]
    assert numbers(outbox.take(3)) == []
    outbox.close()


def test_a_result_is_on_disk_before_it_can_be_taken(tmp_path: Path) -> None:
    """What is only staged is never handed out while the disk works; what is handed out is in the files."""
    outbox = opened(tmp_path)
    put(outbox, 1)
    assert outbox.take(5) == []
    outbox.commit()
    assert numbers(outbox.take(5)) == [1]
    (tmp_path / "copy").mkdir()
    for file in ("outbox.db", "outbox.db-wal"):
        shutil.copy(tmp_path / file, tmp_path / "copy")
    assert rows(tmp_path / "copy" / "outbox.db", "SELECT payload FROM results") == [(b"1",)]
    outbox.close()


def test_what_was_not_acknowledged_is_carried_to_the_next_boot(tmp_path: Path) -> None:
    """Rows in flight when the process ends are sent again, marked as replayed; acknowledged ones are not."""
    outbox = opened(tmp_path)
    put(outbox, 1, 2, 3)
    outbox.commit()
    taken = outbox.take(3)
    outbox.acknowledge(taken[1].row.id)
    outbox.close()
    again = opened(tmp_path)
    assert balance(again)["carried"] == 2
    put(again, 4)
    again.commit()
    again.rewind()
    assert [(int(row.payload), replayed) for row, replayed in again.take(9)] == [(1, True), (3, True), (4, True)]
    again.close()


def test_only_what_was_there_before_the_connection_is_replayed(tmp_path: Path) -> None:
    """rewind draws the line between backlog and live results."""
    outbox = opened(tmp_path)
    put(outbox, 1)
    outbox.rewind()
    put(outbox, 2)
    outbox.commit()
    assert [(int(row.payload), replayed) for row, replayed in outbox.take(9)] == [(1, True), (2, False)]
    outbox.close()


def test_live_first_sends_new_results_before_the_backlog(tmp_path: Path) -> None:
    """With live_first the backlog fills the pauses."""
    outbox = opened(tmp_path, live_first=True)
    put(outbox, 1, 2, 3)
    outbox.commit()
    outbox.rewind()
    put(outbox, 4, 5)
    outbox.commit()
    assert numbers(outbox.take(3)) == [4, 5, 1]
    put(outbox, 6)
    outbox.commit()
    assert numbers(outbox.take(9)) == [6, 2, 3]
    outbox.close()


def test_a_full_outbox_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    """max_bytes bounds what is kept; the newest stay."""
    outbox = opened(tmp_path, max_bytes=65536)
    cost = 1 + 1 + 1000 + OVERHEAD
    room = 65536 // cost
    for number in range(10, 10 + room + 7):
        put(outbox, number, size=998)
        outbox.commit()
    counts = balance(outbox)
    assert counts["dropped"] == {"full": 7}
    assert counts["bytes"] <= 65536
    assert numbers(outbox.take(100)) == list(range(17, 17 + room))
    outbox.close()


def test_a_row_in_flight_is_not_dropped_to_make_room(tmp_path: Path) -> None:
    """Its acknowledgement is under way: the next oldest goes instead."""
    outbox = opened(tmp_path, max_bytes=65536)
    put(outbox, 1, 2, 3, size=20000)
    outbox.commit()
    first = outbox.take(1)[0].row
    put(outbox, 4, size=20000)
    outbox.commit()
    assert balance(outbox)["dropped"] == {"full": 1}
    assert numbers(outbox.take(9)) == [3, 4]
    outbox.acknowledge(first.id)
    assert balance(outbox)["acknowledged"] == 1
    outbox.close()


def test_a_row_larger_than_the_outbox_is_dropped(tmp_path: Path) -> None:
    """It makes no room that could hold it."""
    outbox = opened(tmp_path, max_bytes=65536)
    put(outbox, 1, size=70000)
    outbox.commit()
    assert balance(outbox)["dropped"] == {"full": 1}
    outbox.close()


@pytest.mark.parametrize("bound", [{"staging": 3}, {"staging_bytes": 3 * (1001 + 2 + OVERHEAD) + 10}])
def test_staging_is_bounded_in_rows_and_bytes(tmp_path: Path, bound: dict[str, int]) -> None:
    """More results than the disk takes: the oldest staged one goes, and is counted."""
    outbox = opened(tmp_path, **bound)
    put(outbox, *range(5), size=1000)
    assert balance(outbox)["dropped"] == {"staging": 2}
    outbox.commit()
    assert numbers(outbox.take(9)) == [2, 3, 4]
    outbox.close()


def test_the_file_stays_within_its_cap(tmp_path: Path) -> None:
    """The worst rows for pages (a little over half a page) stay within 2.5 times max_bytes, and the outbox works on."""
    outbox = opened(tmp_path, max_bytes=1024 * 1024)
    for first in range(0, 1500, 100):
        put(outbox, *range(1000 + first, 1100 + first), size=2050)
        outbox.commit()
    counts = balance(outbox)
    assert counts["storage"] == "ok"
    assert set(counts["dropped"]) == {"full"}
    outbox.close()
    assert (tmp_path / "outbox.db").stat().st_size < 2.5 * 1024 * 1024 + 256 * 4096


def test_a_refused_row_is_parked_and_counted(tmp_path: Path) -> None:
    """It leaves the queue, is kept for a look with the broker's reason, and does not come back with the next boot."""
    outbox = opened(tmp_path)
    put(outbox, 1, 2)
    outbox.commit()
    outbox.refuse(outbox.take(1)[0].row.id, "Not authorized")
    assert balance(outbox)["dropped"] == {"refused": 1}
    outbox.close()
    assert rows(tmp_path / "outbox.db", "SELECT payload, reason FROM parked") == [(b"1", "Not authorized")]
    again = opened(tmp_path)
    assert numbers(again.take(9)) == [2]
    again.close()


def test_parked_rows_are_bounded(tmp_path: Path) -> None:
    """The newest hundred are kept."""
    outbox = opened(tmp_path)
    put(outbox, *range(130))
    outbox.commit()
    for row, _ in outbox.take(130):
        outbox.refuse(row.id, "no")
        outbox.commit()
    outbox.close()
    assert rows(tmp_path / "outbox.db", "SELECT count(*), max(id) FROM parked") == [(100, 130)]


def test_a_second_process_is_told_to_use_another_file(tmp_path: Path) -> None:
    """Two daemons on one outbox would both send its rows."""
    outbox = opened(tmp_path)
    with pytest.raises(StorageError, match="another edgeinfer has open"):
        opened(tmp_path)
    outbox.close()
    opened(tmp_path).close()


def test_a_missing_folder_is_made_only_below_an_existing_one(tmp_path: Path) -> None:
    """A mistyped mount point is an error with a hint; the daemon's own state folder is made, for its user only."""
    with pytest.raises(StorageError, match="mkdir -p"):
        opened(tmp_path / "mistyped" / "state")
    opened(tmp_path / "state").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "outbox.db").stat().st_mode & 0o777 == 0o600


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A path that names some other SQLite file is an error, not a place for tables."""
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StorageError, match="another program's database"):
        opened(tmp_path)


def test_a_later_versions_outbox_is_left_alone(tmp_path: Path) -> None:
    """After a downgrade the rows of the later version stay for it."""
    opened(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StorageError, match="version 2"):
        opened(tmp_path)

"""The stdout sink."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgeinfer.outbox import OutboxOptions
from edgeinfer.sinks import SINKS
from edgeinfer.sinks.stdout import StdoutOptions, StdoutSink


def test_one_result_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else is on stdout."""
    sink = StdoutSink(StdoutOptions(), "edgeinfer/cam", OutboxOptions())
    sink.start()
    sink.publish("t", b'{"n":1}', "p")
    sink.set_retained("t", b"{}")
    sink.publish("t", b'{"n":2}', "p")
    assert sink.drain(0)
    sink.stop()
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    assert sink.state()["outbox"]["acknowledged"] == 2


def test_a_reader_that_went_away_is_counted() -> None:
    """| head: the pipeline goes on."""
    program = """
import os, sys
from edgeinfer.sinks.stdout import *
from edgeinfer.outbox import OutboxOptions
sink = StdoutSink(StdoutOptions(), "t", OutboxOptions())
sys.stdin.read()
for number in range(3):
    sink.publish("t", b"{}", "p")
print(sink.state()["outbox"]["dropped"], file=sys.stderr)
os._exit(0)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate("")[1].strip() == "{'closed': 3}"


def test_a_daemon_without_stdout_counts_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """``edgeinfer run … >&-``: frames go on, results are dropped and counted."""
    sink = StdoutSink(StdoutOptions(), "edgeinfer/cam", OutboxOptions())
    monkeypatch.setattr(sys, "stdout", None)
    sink.publish("t", b"{}", "door")
    assert sink.state()["outbox"]["dropped"] == {"closed": 1}


def test_the_table_names_the_sink() -> None:
    """A configuration's ``kind: stdout``."""
    assert SINKS.load("stdout", "sink") is StdoutSink

"""Tables of plug-ins."""

from __future__ import annotations

import pytest

from edgeinfer.errors import UnavailableError, UsageError
from edgeinfer.model.backends import BACKENDS
from edgeinfer.model.decoders import DECODERS
from edgeinfer.registry import Table
from edgeinfer.sinks import SINKS
from edgeinfer.sources import SOURCES


def test_an_unknown_name_is_a_usage_error_with_a_suggestion() -> None:
    """A mistyped plug-in names the place that asked and the nearest known name."""
    with pytest.raises(UsageError) as caught:
        SOURCES.load("camra", "pipelines.door.source.kind")
    assert "pipelines.door.source.kind: expected one of the sources, got 'camra'" in str(caught.value)
    assert "did you mean 'camera'?" in str(caught.value)


def test_a_plug_in_whose_package_is_missing_says_what_to_install() -> None:
    """An import error inside a plug-in becomes UnavailableError with a pip command."""
    table = Table("decoders", {"broken": "edgeinfer_no_such_package:Thing"})
    with pytest.raises(UnavailableError, match="pip install") as caught:
        table.load("broken", "decoder")
    assert caught.value.exit_code == 69


@pytest.mark.parametrize("table", [SOURCES, DECODERS, BACKENDS, SINKS], ids=lambda table: table.kind)
def test_every_line_of_every_table_loads(table: Table) -> None:
    """Each name stands for a class that exists where its line says."""
    for name in table.entries:
        assert isinstance(table.load(name, "test"), type)

"""Settings: they hold after a restart, and a damaged or unwritable file stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.errors import StorageError
from edgeinfer.settings import PipelineSettings, Settings


def test_what_was_set_holds_after_a_restart(tmp_path: Path) -> None:
    """Switches, thresholds and accepted bundles are read again; what was never set has the defaults."""
    settings = Settings(tmp_path / "state")
    settings.set("door", PipelineSettings(enabled=False, threshold=0.7))
    settings.accept("person", "abc")
    again = Settings(tmp_path / "state")
    assert again.of("door") == PipelineSettings(enabled=False, threshold=0.7)
    assert again.of("hall") == PipelineSettings()
    assert again.thresholds() == {"door": 0.7}
    assert again.accepted("person", "abc")
    assert not again.damage


def test_bundles_that_passed_are_known_as_long_as_the_store_keeps_them(tmp_path: Path) -> None:
    """The latest three, by their digests or the beginning of one; of other models nothing is said."""
    settings = Settings(tmp_path)
    for digest in ("aa", "bb", "cc", "aa", "dd"):
        settings.accept("person", digest)
    again = Settings(tmp_path)
    assert [digest for digest in ("aa", "bb", "cc", "dd") if again.accepted("person", digest)] == ["aa", "cc", "dd"]
    assert again.accepted("person", "d")
    assert not again.accepted("cat", "aa")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pipelines": 3}', b"\xff\xfe", b"9" * 9999])
def test_a_damaged_file_is_left_aside_and_told(content: bytes, tmp_path: Path) -> None:
    """As if nothing had been set; the next setting writes it anew."""
    (tmp_path / "settings.json").write_bytes(content)
    settings = Settings(tmp_path)
    assert "left aside" in settings.damage
    assert settings.of("door").enabled
    settings.set("door", PipelineSettings(enabled=False))
    assert not Settings(tmp_path).of("door").enabled


def test_a_setting_that_cannot_be_kept_holds_in_this_run(tmp_path: Path) -> None:
    """A file where the folder should be: StorageError, and the value is in force."""
    (tmp_path / "state").write_text("")
    settings = Settings(tmp_path / "state")
    with pytest.raises(StorageError, match=r"settings.json: expected a place that can be written to"):
        settings.set("door", PipelineSettings(enabled=False))
    assert not settings.of("door").enabled

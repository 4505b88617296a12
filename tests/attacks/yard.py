"""A store with two bundles, and what attacks on it are made of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeinfer import admission, fetch
from edgeinfer.admission import install
from edgeinfer.errors import EdgeinferError
from edgeinfer.model import bundle
from edgeinfer.store import Store
from quantize.secretkey import SecretKey
from tests.installs import MAKER, STRANGER, make_bundle, make_eib, sign, stub_trial

Yard = SimpleNamespace  # store: one that has door 5 (current) and 4 (previous); made: a folder for what the attack makes


@pytest.fixture(scope="module")
def eibs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eibs")
    for sequence in (3, 4, 5, 6):
        make_eib(folder, sequence, name="door")
    make_eib(folder, 3, None, name="door")
    make_eib(folder, 7, None, name="door")
    make_eib(folder, 6, STRANGER, name="door")
    return folder


@pytest.fixture(scope="module")
def two(eibs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with door 5 in use, and 4 before it."""
    state = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "trial", stub_trial)
        for sequence in (4, 5):
            install(Store(state / "models"), eibs / f"{sequence}-{MAKER.public.name}.eib", keys=[MAKER.public])
    return state


@pytest.fixture
def yard(tmp_path: Path, eibs: Path, two: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """No attack here may get as far as the trial, unless it says so."""
    shutil.copytree(two, tmp_path / "state", symlinks=True)
    monkeypatch.setattr(admission, "trial", never)
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "made").mkdir()
    return SimpleNamespace(root=tmp_path, store=Store(tmp_path / "state" / "models"), made=tmp_path / "made", eibs=eibs,
                           patch=monkeypatch)


def never(*_: object) -> None:
    pytest.fail("an attack came as far as the trial")


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder: links as such, files by content."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else path.stat().st_mode
    return found


def refused(yard: Yard, source: Any, **terms: Any) -> EdgeinferError:
    """What an installation raises; fails where anything has changed but for the lock."""
    before = tree(yard.root)
    terms = {"keys": [MAKER.public], **terms}
    with pytest.raises(EdgeinferError) as caught, opened(source) as stream:
        install(yard.store, stream, **terms)
    assert type(caught.value) is not EdgeinferError
    assert len(str(caught.value)) < 3500
    assert tree(yard.root) == before
    return caught.value


@contextmanager
def opened(source: Any) -> Iterator[Any]:
    if isinstance(source, str):
        with fetch.opened(source, 1 << 20) as stream:
            yield stream
    else:
        yield source


def signed(yard: Yard, sequence: int = 6, key: SecretKey | None = MAKER) -> Path:
    return Path(yard.eibs / f"{sequence}-{key.public.name if key else 'unsigned'}.eib")


def patched(yard: Yard, change: Callable[[bytes], bytes], source: Path | None = None) -> Path:
    """A good bundle of sequence 6 whose bytes were changed on the way."""
    content = (source or signed(yard)).read_bytes()
    assert change(content) != content
    (yard.made / "attack.eib").write_bytes(change(content))
    return Path(yard.made / "attack.eib")


def made(yard: Yard, sequence: int = 6, key: SecretKey | None = MAKER, **fields: Any) -> Path:
    """A bundle of that manifest by the maker."""
    return make_eib(yard.made, sequence, key, **{"name": "door", **fields})


def swapped(yard: Yard) -> Path:
    """The signature of 6 beside the manifest of another bundle."""
    good, other = make_bundle(yard.made / "good", 6, name="door"), make_bundle(yard.made / "other", 6, name="door", version="evil")
    sign(good.folder, MAKER)
    (other.folder / "manifest.sig").write_bytes((good.folder / "manifest.sig").read_bytes())
    bundle.pack(other.folder, yard.made / "swapped.eib")
    return Path(yard.made / "swapped.eib")


def raw_signed(yard: Yard, change: Callable[[bytes], bytes]) -> Path:
    """The maker signed what ``bundle.write`` would have refused."""
    good = make_bundle(yard.made / "good", 6, name="door")
    manifest = good.folder / "manifest.json"
    assert change(manifest.read_bytes()) != manifest.read_bytes()
    manifest.write_bytes(change(manifest.read_bytes()))
    sign(good.folder, MAKER)
    from edgeinfer.model.archive import write_entries

    with (yard.made / "raw.eib").open("wb") as stream:
        write_entries(stream, [(name, good.folder / name) for name in ("manifest.json", "manifest.sig", *good.manifest.files)])
    return Path(yard.made / "raw.eib")


def rejected(yard: Yard) -> Path:
    install(yard.store, signed(yard, 5), keys=[MAKER.public])
    current = yard.store.current("door")
    yard.store.rollback("door", "it saw ghosts")
    assert yard.store.current("door") != current
    return signed(yard, 5)

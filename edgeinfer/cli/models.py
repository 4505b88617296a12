"""edgeinfer models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from edgeinfer.admission import trusted_keys
from edgeinfer.cli.options import json_option, keys_option, state_option
from edgeinfer.errors import EdgeinferError, StorageError
from edgeinfer.model.bundle import Bundle, read
from edgeinfer.model.consistency import SIGNATURE
from edgeinfer.model.minisign import key_name, parse_signature
from edgeinfer.model.signature import PublicKey
from edgeinfer.store import Store

_COLUMNS = ("name", "version", "sequence", "digest", "signed by", "target", "state")


@click.command("models")
@state_option
@keys_option
@json_option
def command(state: Path, keys: Path, as_json: bool) -> None:
    """The bundles installed on this device, which is in use, and which were rejected."""
    if not state.is_dir():
        raise StorageError(str(state), "a folder for state", "none", "edgeinfer install X.eib makes it")
    store, trusted = Store(state / "models"), trusted_keys(keys)
    documents = [{"name": name, "bundles": list(_bundles(store, name, trusted)), "rejected": store.rejected(name),
                  "probation": _probation(store, name)} for name in store.names()]
    if as_json:
        click.echo(json.dumps({"v": 1, "models": documents}))
    elif not documents:
        click.echo("no models are installed: edgeinfer install X.eib", err=True)
    else:
        _print([_COLUMNS, *(row for document in documents for row in _rows(document))])


def _probation(store: Store, name: str) -> dict[str, Any] | None:
    """Without the figures that it is judged by: they are of use to the daemon alone."""
    record = store.probation(name)
    return None if record is None else {key: value for key, value in msgspec.to_builtins(record).items() if key != "old"}


def _bundles(store: Store, name: str, trusted: tuple[PublicKey, ...]) -> Iterator[dict[str, Any]]:
    """Of one model, the newest sequence first."""
    links = {"current": store.current(name), "previous": store.previous(name), "candidate": store.candidate(name)}
    for folder in sorted(store.folders(name), key=lambda path: -int(path.name.partition("-")[0])):
        known = {"folder": str(folder), "roles": [role for role, path in links.items() if path == folder]}
        try:
            bundle = read(folder, verify=False)
        except EdgeinferError as error:
            yield {**known, "fault": str(error.faults[0])}
            continue
        manifest = bundle.manifest
        yield {**known, "version": manifest.version, "sequence": manifest.sequence, "digest": bundle.digest,
               "target": manifest.target, **_signature(bundle, trusted)}


def _signature(bundle: Bundle, trusted: tuple[PublicKey, ...]) -> dict[str, str]:
    """The key's number, and what the signature says with the keys that are trusted here."""
    if bundle.trust == "unsigned":
        return {"key": "", "signature": "unsigned"}
    key = key_name(parse_signature((bundle.folder / SIGNATURE).read_bytes(), SIGNATURE).number)
    try:
        return {"key": key, "signature": read(bundle.folder, verify=False, keys=trusted).trust}
    except EdgeinferError:
        return {"key": key, "signature": "untrusted"}


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    name, rejected, probation = document["name"], dict(document["rejected"]), document["probation"]
    for bundle in document["bundles"]:
        state = list(bundle["roles"]) or ["unused"]
        if "fault" in bundle:
            yield name, "?", "?", "?", "?", "?", ", ".join([*state, f"damaged: {bundle['fault']}"])
            continue
        digest = bundle["digest"]
        if probation and probation["digest"] == digest:
            state.append("on probation")
        if digest in rejected:
            state.append(f"rejected: {rejected.pop(digest)}")
        signed = bundle["signature"] if not bundle["key"] else bundle["key"]
        signed += "" if bundle["signature"] in {"verified", "unsigned"} else f" ({bundle['signature']})"
        yield name, bundle["version"], str(bundle["sequence"]), digest[:12], signed, bundle["target"] or "any", ", ".join(state)
    for digest, reason in rejected.items():
        yield name, "-", "-", digest[:12], "-", "-", f"rejected: {reason}"


def _print(rows: list[tuple[str, ...]]) -> None:
    """In columns. What a bundle says of itself may hold anything, so nothing but printable characters reaches the terminal."""
    shown = [[text if text.isprintable() else repr(text) for text in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(_COLUMNS))]
    for row in shown:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())

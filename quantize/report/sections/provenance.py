"""All that is needed to do it again."""

from __future__ import annotations

from quantize.report.document import Document, Machine
from quantize.report.html import Child, Html, name, tag
from quantize.report.sections.parts import block, fold, lead

__all__ = ["section"]


def section(document: Document) -> Html | None:
    found = document.provenance
    if found is None:
        return None
    rows: list[tuple[str, Child]] = []
    if found.command:
        rows.append(("Command", tag("pre", tag("code", _folded(found.command)))))
    if found.machine:
        rows.append(("Machine", _machine(found.machine)))
    if found.versions:
        rows.append(("Versions", [[tag("span", f"{package} {version}", class_="pair"), " "]
                                  for package, version in found.versions.items()]))
    if found.seed is not None:
        rows.append(("Seed", str(found.seed)))
    if found.assumed:
        rows.append(("Assumed", tag("ul", [tag("li", sentence) for sentence in found.assumed])))
    if found.hashes:
        rows.append(("SHA-256", tag("ul", [tag("li", name(file), " ", tag("code", digest, class_="digest"))
                                           for file, digest in found.hashes.items()], class_="plain")))
    listed = tag("dl", [tag("div", tag("dt", title), tag("dd", value)) for title, value in rows], class_="facts")
    recipe = fold("Recipe", tag("pre", tag("code", found.recipe))) if found.recipe else None
    return block("provenance", "Provenance", lead("The same inputs give the same files, byte for byte."), listed, recipe)


def _folded(command: str) -> str:
    """A long command over several lines, in the way that a shell still takes."""
    return command if len(command) <= 88 else command.replace(" --", " \\\n  --")


def _machine(machine: Machine) -> Child:
    said = machine.cpu + (f", {machine.architecture}" if machine.architecture else "")
    said += f", {machine.cores} cores" if machine.cores else ""
    if machine.vnni is not None:
        said += ", with 8-bit dot products" if machine.vnni else ", without 8-bit dot products"
    return [said, tag("small", " ".join(machine.flags)) if machine.flags else None]

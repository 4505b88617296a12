"""The tutorial, done as it is written: block by block, in order, in one folder. What it shows is what comes out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.markdown import Block, Page

pytest.importorskip("torch", reason="needs PyTorch: scripts/test-conformance")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = Page(ROOT / "docs/tutorial.md")
BLOCKS = PAGE.blocks()
NUMBER = r"-?\d+(?:\.\d+)?(?:e-\d+)?"
SHAPES = ["circle", "nothing", "square", "triangle"]


def _pattern(line: str) -> re.Pattern[str]:
    """What a line of output must look like: its words as they are, any number for a number, any key for a key, anything for …"""
    line = line.replace("leaves top-1 as it was", "…")  # one picture of 300 may differ where the arithmetic does
    parts = []
    for part in re.split(rf"(…|\s+|\b[0-9A-F]{{16}}\b|(?<![\w-]){NUMBER})", line.strip()):
        if part == "…":
            parts.append(".*")
        elif part.isspace():
            parts.append(r"\s+")
        elif re.fullmatch(r"[0-9A-F]{16}", part):
            parts.append(r"[0-9A-F]{16}")
        else:
            parts.append(NUMBER if re.fullmatch(NUMBER, part) else re.escape(part))
    return re.compile("".join(parts), re.MULTILINE)


def _steps(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that are shown under it."""
    for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *shown = step.splitlines()
        yield command, shown


class Walk:
    """The reader's folder and terminal. ``said``: what each command printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: dict[str, str] = {}

    def do(self, block: Block) -> None:
        if block.language == "console":
            for command, shown in _steps(block):
                self._run(command, shown)
        else:
            name = re.match(r"# ([\w-]+\.(?:py|yaml)): ", block.text)
            assert name, f"{block.id}: the first line says which file this is"
            (self.folder / name[1]).write_text(block.text, encoding="utf-8")

    def _run(self, command: str, shown: list[str]) -> None:
        if command.startswith("pip "):
            return  # this environment has it already
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(command, shell=True, cwd=self.folder, env={**os.environ, "PATH": path, "COLUMNS": "250"},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert "Traceback" not in done.stdout, f"{command}\n{done.stdout}"
        for line in shown:
            assert _pattern(line).search(done.stdout), f"{command}\ndoes not say '{line}' but\n{done.stdout}"
        self.said[command] = done.stdout

    def of(self, start: str) -> str:
        """What the one command that starts so printed."""
        (said,) = [said for command, said in self.said.items() if command.startswith(start)]
        return said


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(tmp_path_factory.mktemp("tutorial"))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.id)
def test_a_step_does_what_it_says(block: Block, walk: Walk) -> None:
    """A script is written to the file that its first line names; a command ends with 0 and prints what is shown under it."""
    walk.do(block)


def test_what_the_page_installs_exists() -> None:
    """The extras that it names are those of the project."""
    known = set(re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert {name for names in re.findall(r"edgeinfer\[([\w,]+)\]", PAGE.text) for name in names.split(",")} <= known


def test_the_network_learns_what_the_page_promises(walk: Walk) -> None:
    """At least as many pictures are told right as the page asks for."""
    asked = re.search(r"anything above (\d+) % will do", PAGE.text)
    said = re.search(r": ([\d.]+)%", walk.of("python train.py"))
    assert asked
    assert said
    assert float(said[1]) > float(asked[1])


@pytest.mark.parametrize("folder", ["out", "next"])
def test_the_bars_are_met(folder: str, walk: Walk) -> None:
    """Both runs with a recipe passed, in both formats."""
    report = json.loads((walk.folder / folder / "report.json").read_text())
    assert report["verdict"]["outcome"] in ("passed", "unlabelled")
    assert report["ladder"]["bar"] == 1.0
    assert report["parity"]["agreement"]["value"] >= 99
    assert [file["title"] for file in report["files"]] == ["float", "INT8 TFLite", "INT8 ONNX"]


def test_int8_tells_shapes_as_float_does(walk: Walk) -> None:
    """At most a point of top-1 is lost, and float itself is right."""
    runs = json.loads((walk.folder / "out/report.json").read_text())["accuracy"]["runs"]
    (float_,) = [figure["value"] for figure in runs[0]["figures"] if figure["name"] == "top-1"]
    assert float_ > 95
    assert [drop["value"] <= 1 for run in runs[1:] for drop in run["drops"] if drop["name"] == "drop of top-1"] == [True, True]


def test_the_files_that_are_promised_are_there(walk: Walk) -> None:
    """Every file that the page's prose names as made is there."""
    named = {*re.findall(r"\b((?:out|next)/[\w.-]+)`", PAGE.prose())}
    assert named >= {"out/shapes.eib", "out/shapes-onnx.eib", "out/report.html", "next/shapes.eib"}
    assert all((walk.folder / name).stat().st_size > 10_000 for name in named)


def test_the_daemon_tells_each_shape_once(walk: Walk) -> None:
    """400 pictures in, and a result out for each change of shape."""
    lines = [line for line in walk.of("edgeinfer run").splitlines() if line.startswith("{")]
    results = [json.loads(line) for line in lines]
    assert [result["result"]["classes"][0]["label"] for result in results] == SHAPES
    assert all(result["result"]["classes"][0]["score"] > 0.6 for result in results)
    assert all(result["model"] == "shapes:1" for result in results)

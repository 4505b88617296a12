"""The five examples, run for real: one daemon, a broker, a subscriber; and what each folder has to have."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edgeinfer.config import load
from edgeinfer.model.bundle import read
from edgeinfer.plan import make_plans

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FIVE = {"people": "config.yaml", "greeter": "config.yaml", "vibration": "monitor.yaml", "keyword": "config.yaml",
        "transactions": "config.yaml"}


def test_all_five_do_what_they_say() -> None:
    """As `make examples` runs them: people are counted, faces greeted, a fault is told, keywords are heard, payments are answered; each
    exactly as its truth.json says."""
    done = subprocess.run([sys.executable, "-m", "examples.run"], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nok ") == 5


@pytest.mark.parametrize(("example", "config"), FIVE.items())
def test_a_configuration_fits_its_bundles(example: str, config: str, tmp_path: Path) -> None:
    """Every plan can be made; the labels, zones and columns are those of the bundle."""
    document = yaml.safe_load((EXAMPLES / example / config).read_text())
    settings = load(EXAMPLES / example / config)
    assert len(make_plans(settings)) == len(document["pipelines"])


@pytest.mark.parametrize("example", FIVE)
def test_a_readme_is_one_page_with_a_picture(example: str) -> None:
    """The picture is there and small; every file that its table names is there; every path in its commands, too."""
    text = (EXAMPLES / example / "README.md").read_text()
    assert len(text.splitlines()) <= 70
    pictures = re.findall(r"!\[[^\]]{20,}\]\((picture\.\w+)\)", text)
    assert len(pictures) == 1
    assert 3_000 < (EXAMPLES / example / pictures[0]).stat().st_size < 100_000
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert rows
    for name in re.findall(r"`([^`]+)`", "".join(rows)):
        assert (EXAMPLES / example / name).exists(), name
    for path in re.findall(r"examples/[\w./-]+", text):
        assert (ROOT / path.rstrip(".")).exists() or "$name" in text or path.endswith("/state"), path


@pytest.mark.parametrize("bundle", ["people/bundle", "greeter/bundle", "keyword/bundle", "transactions/bundle", "vibration/severity/bundle"])
def test_a_model_is_int8_and_small(bundle: str) -> None:
    """Inputs or all inner tensors are 8 bits; under 50 kB; the bundle can be read whole, with its probes."""
    found = read(EXAMPLES / bundle)
    assert found.model_path.stat().st_size < 50_000
    assert found.manifest.probes


def test_what_feeds_them_is_small() -> None:
    """All five folders together, pictures of the READMEs included."""
    files = [path for example in FIVE for path in (EXAMPLES / example).rglob("*") if path.is_file() and "state" not in path.parts
             and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    assert max(path.stat().st_size for path in files) < 300_000

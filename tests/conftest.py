"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def zoo() -> Path:
    """The folder of real models and inputs that may stand beside the checkout; the test is skipped where it does not."""
    folder = Path(os.environ.get("EDGEINFER_ZOO", ROOT.parent / "shared" / "zoo"))
    if not folder.is_dir():
        pytest.skip(f"no model zoo at {folder}: set EDGEINFER_ZOO")
    return folder

"""Payments of people who do not exist, some of them with stolen cards. Run by hand: python shop.py (needs numpy)

Writes payments.jsonl (160 payments) and truth.json (which of them are fraud). ``train.py`` draws other payments of the same kind.

People buy what they usually buy, near home, by day. A thief buys what can be sold again, for more than the owner would spend, soon
after another payment, often far away or from a device that was never seen. Neither is always so: some fraud looks like anybody.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KINDS = ("groceries", "restaurant", "fuel", "clothes", "electronics", "travel", "gift cards")
USUAL = {"groceries": 42, "restaurant": 30, "fuel": 55, "clothes": 70, "electronics": 140, "travel": 210, "gift cards": 40}
HONEST = (0.36, 0.22, 0.12, 0.13, 0.07, 0.07, 0.03)
STOLEN = (0.05, 0.03, 0.04, 0.13, 0.35, 0.12, 0.28)


def payment(rng: np.random.Generator, fraud: bool) -> dict[str, Any]:
    """One row, as a shop would ask about it."""
    clever = fraud and rng.random() < 0.10  # a thief who takes care
    kind = KINDS[rng.choice(len(KINDS), p=STOLEN if fraud and not clever else HONEST)]
    spent = USUAL[kind] * float(np.exp(rng.normal(0.8 if fraud and not clever else 0, 0.55)))
    hour = float(rng.uniform(0, 24) if fraud and rng.random() < 0.6 else np.clip(rng.normal(14.5, 4), 0, 23.9))
    far = fraud and not clever and rng.random() < 0.7
    return {
        "amount": round(spent, 2), "kind": kind, "hour": round(hour, 1),
        "km_from_home": round(float(rng.exponential(900 if far else 12)), 1),
        "minutes_since_last": round(float(rng.exponential(25 if fraud and not clever else 900)), 1),
        "new_device": bool(rng.random() < (0.65 if fraud and not clever else 0.06)),
        "times_usual": round(spent / USUAL[kind], 2),
    }


def payments(rng: np.random.Generator, count: int, share: float) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows, and which are fraud (bool)."""
    stolen = rng.random(count) < share
    return [payment(rng, bool(fraud)) for fraud in stolen], stolen


def main() -> None:
    rows, stolen = payments(np.random.default_rng(31), 160, 0.12)
    (HERE / "payments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (HERE / "truth.json").write_text(json.dumps({"fraud": np.flatnonzero(stolen).tolist()}) + "\n")


if __name__ == "__main__":
    main()

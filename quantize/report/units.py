"""Numbers as people read them: few digits, a real minus sign, and the unit after a narrow space."""

from __future__ import annotations

import math

from quantize.metrics.metric import Figure

__all__ = ["MISSING", "count", "decibels", "ends", "figure", "interval", "milliseconds", "number", "quantity", "ratio",
           "seconds", "share", "signed", "size", "tick", "title"]

MISSING = "\u2013"  # an en dash
_TIMES = "\u00d7"
_SPACE = "\u202f"  # narrow, does not break
_DECIMALS = {"%": 1, "points": 1, "dB": 1, "LSB": 1, "nats": 4}


def number(value: float | None, digits: int = 3) -> str:
    """``digits`` significant digits, without an exponent where that is short: 0.00123, 12.3, 1230."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e6:
        text = f"{value:.0f}"
    return text.replace("-", "\u2212")


def quantity(value: float | None, unit: str) -> str:
    """A value of a figure with its unit."""
    if value is None or not math.isfinite(value):
        return MISSING
    if unit == "dB":
        return decibels(value)
    bare = _fixed(value, _DECIMALS[unit]) if unit in _DECIMALS else number(value, 4)
    bare = bare.removesuffix(".0") if unit == "LSB" else bare
    return f"{bare}{_SPACE}{unit}" if unit else bare


def tick(value: float, unit: str) -> str:
    """A value on an axis: no more digits than it needs, and only short units."""
    return number(value, 6) + (f"{_SPACE}{unit}" if unit in ("%", "dB") else "")


def signed(value: float, unit: str) -> str:
    """With a plus sign where it is positive."""
    text = quantity(value, unit)
    return text if text.startswith(("\u2212", MISSING)) or not any(digit in text for digit in "123456789") else f"+{text}"


def figure(measured: Figure) -> str:
    return quantity(measured.value, measured.unit)


def interval(measured: Figure) -> str:
    """ "86.4 to 92.3", without the unit; empty where there is none."""
    if measured.low is None or measured.high is None:
        return ""
    decimals = _DECIMALS.get(measured.unit)
    low, high = (_fixed(end, decimals) if decimals is not None else number(end, 4) for end in (measured.low, measured.high))
    return f"{low} to {high}"


def ends(low: float, high: float) -> str:
    """A range, both ends to the digits that matter beside the larger: "0 to 6.96"."""
    largest = max(abs(low), abs(high))
    if not 1e-4 <= largest < 1e6:
        return f"{number(low)} to {number(high)}"
    decimals = max(2 - math.floor(math.log10(largest)), 0)
    return " to ".join(_fixed(end, decimals) if end else "0" for end in (low, high))


def decibels(value: float) -> str:
    """200 stands for identical."""
    return "identical" if value >= 199.99 else f"{_fixed(value, 1)}{_SPACE}dB"


def share(value: float) -> str:
    """A share 0..1 in per cent; a little is never 0 and almost all never 100."""
    if value <= 0 or value >= 1:
        return f"{_fixed(100 * value, 0)}{_SPACE}%"
    if value < 0.0001:
        return f"<{_SPACE}0.01{_SPACE}%"
    if value > 0.9999:
        return f">{_SPACE}99.99{_SPACE}%"
    return f"{_fixed(100 * value, 2 if value < 0.01 or value > 0.99 else 1)}{_SPACE}%"


def size(bytes: int) -> str:
    """Decimal kB and MB, as file managers and package indexes count."""
    if bytes < 1000:
        return f"{bytes}{_SPACE}B"
    return f"{number(bytes / 1000, 3)}{_SPACE}kB" if bytes < 999_500 else f"{number(bytes / 1e6, 3)}{_SPACE}MB"


def milliseconds(value: float) -> str:
    return f"{number(value, 3)}{_SPACE}ms"


def seconds(value: float) -> str:
    """ "0.4 s", "12 s", "3 min 5 s"."""
    if value < 60:
        return f"{_fixed(value, 1 if value < 10 else 0)}{_SPACE}s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}{_SPACE}min {rest}{_SPACE}s"


def ratio(first: float, own: float, less: str, more: str) -> str:
    """So many times smaller, or larger where ``own`` is more than ``first``; empty where they cannot be compared."""
    if not (first > 0 and own > 0):
        return ""
    times = number(max(first, own) / min(first, own), 2)
    return "the same" if times == "1" else f"{times}{_TIMES} {less if own < first else more}"


def title(name: str) -> str:
    """The name of a metric at the head of a row: "Top-1", but "mAP"."""
    return name if name[1:2].isupper() else name[:1].upper() + name[1:]


def count(value: int, noun: str) -> str:
    """ "1 picture", "417 pictures": ``noun`` is the plural."""
    return f"{value} {noun[:-1] if value == 1 and noun.endswith('s') else noun}"


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\u2212")

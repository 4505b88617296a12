"""Figures of merit, each with a 95 % confidence interval: with labels, and without them against the float model.

One file for each kind. All follow one shape, that of ``Metric``: ``add(expected, got)`` for each sample, ``result()`` at the
end. What a metric keeps of a sample is a few numbers, never the sample. ``drop`` compares two that saw the same samples.
"""

from __future__ import annotations

from quantize.metrics.metric import Figure, Metric
from quantize.metrics.paired import drop, mcnemar

__all__ = ["Figure", "Metric", "drop", "mcnemar"]

"""What is in the samples, beside their normalisation: too few, alike, constant, dark, of few classes, beyond the input's range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec
from edgeinfer.model.tensor import Array, TensorSpec
from quantize.dataset.labels import Boxes, ClassLabel, Label
from quantize.dataset.samples import Sample
from quantize.judging.channels import Channels, affine, by_channel
from quantize.judging.finding import Finding
from quantize.judging.likeness import Likeness

__all__ = ["Content"]

TOO_FEW, FEW = 16, 64
_DARK, _BRIGHT = 24, 232  # mean of a sample's pixels
_MANY = 0.1  # share of samples from which something is said
_NEVER_USED = 0.1  # share of an integer input's range


class Content:
    """Looks at one sample after another; ``tensor`` and ``raw`` are the channels' figures after and before normalisation."""

    def __init__(self, spec: PreprocessSpec, input: TensorSpec, classes: Sequence[str]) -> None:
        self.count = 0
        self.tensor = Channels(spec.channels if isinstance(spec, ImageSpec) else spec.columns)
        self.usable: list[int] = []  # neither constant nor a copy
        self._spec, self._input, self._classes = spec, input, classes
        self._offset, self._divisor = affine(spec)
        self._likeness = Likeness()
        self._dark = self._bright = self._gaps = self._outside = 0
        self._labels: Counter[int] = Counter()
        self._labelled = 0

    @property
    def raw(self) -> Channels:
        return self.tensor.scaled(self._offset, self._divisor)

    def add(self, sample: Sample, tensor: Array) -> None:
        elements = by_channel(tensor, self._spec)
        self.count += 1
        self.tensor.add(elements)
        picture = self._brightness(elements) if isinstance(self._spec, ImageSpec) else None
        spread = (elements.max(0) - elements.min(0)) * np.abs(self._divisor)
        constant = bool((spread <= (2 if picture is not None else 0)).all())  # two levels of 255 are a sensor's noise
        before = len(self._likeness.copies)
        self._likeness.add(sample.name, tensor, picture, constant)
        if not constant and len(self._likeness.copies) == before:
            self.usable.append(sample.index)
        if picture is not None:
            mean = float(picture.mean())
            self._dark, self._bright = self._dark + (mean < _DARK), self._bright + (mean > _BRIGHT)
        elif np.isnan(sample.frame.view).any():
            self._gaps += 1
        if self._input.quantization is not None:
            self._outside += int((self._input.dequantize(self._input.quantize(tensor)) != tensor).sum())
        self._count_label(sample.label)

    def _brightness(self, elements: Array) -> Array:
        assert isinstance(self._spec, ImageSpec)
        grey: Array = (elements * self._divisor + self._offset).mean(1).reshape(self._spec.height, self._spec.width)
        return grey

    def _count_label(self, label: Label | None) -> None:
        self._labelled += label is not None
        if isinstance(label, ClassLabel):
            self._labels[label.index] += 1
        elif isinstance(label, Boxes):
            self._labels.update(label.classes.tolist())

    def findings(self) -> Iterator[Finding]:
        """In the order of a reader's questions: how many, of what kind, how different."""
        yield self._enough()
        yield from self._alike()
        yield from self._channels()
        yield from self._light()
        yield from self._range()
        yield from self._balance()
        if self._gaps:
            yield Finding("note", "gaps", f"{self._gaps} of {self.count} windows have samples that are no number (NaN): they count "
                          "as the value that normalises to 0", "fill or leave out gaps where the sensor's data is exported")

    def _enough(self) -> Finding:
        text = f"{self.count} sample{'s' if self.count != 1 else ''}"
        advice = "take some hundred that the device will really see: from its own camera or sensor with edgeinfer record"
        if self.count < TOO_FEW:
            return Finding("warning", "count", f"{text} cannot show what ranges the model needs", advice)
        if self.count < FEW:
            return Finding("note", "count", f"{text} are few: signal to noise still grows beyond {FEW}", advice)
        return Finding("ok", "count", text)

    def _alike(self) -> Iterator[Finding]:
        likeness, advice = self._likeness, "they add nothing to the ranges: put others in their place"
        copies, similar = ([name for name, _ in pairs] for pairs in (likeness.copies, likeness.similar))
        for names, topic, what, noted, warned in (
                (likeness.constant, "constant", "show one colour or value alone", 0.0, _MANY),
                (copies, "duplicates", "are exact copies of others", 0.0, _MANY),
                (similar, "duplicates", "look nearly the same as others", _MANY, 0.5)):
            share = len(names) / max(self.count, 1)
            if share > noted:
                yield Finding("warning" if share >= warned else "note", topic,
                              f"{len(names)} of {self.count} {what}: {_first(names)}", advice)

    def _channels(self) -> Iterator[Finding]:
        raw = self.raw
        still = [index for index, deviation in enumerate(raw.deviation) if deviation == 0]
        if still and self.count > 1 and len(still) < len(raw.mean):
            yield Finding("warning", "channels", f"channel {', '.join(map(str, still))} never changes",
                          "see that the sensor is connected and the columns are in the model's order")
        if isinstance(self._spec, ImageSpec) and self._spec.channels == 3 and self._grey():
            yield Finding("note", "colour", "all pictures are grey, and the model takes colours",
                          "if the device sees colours, calibrate on colours")

    def _grey(self) -> bool:
        raw = self.raw
        figures = np.stack([raw.mean, raw.deviation, raw.least, raw.greatest])
        return bool((np.ptp(figures, axis=1) < 0.01).all())

    def _light(self) -> Iterator[Finding]:
        if not isinstance(self._spec, ImageSpec):
            return
        for number, word, end in ((self._dark, "dark", "0"), (self._bright, "bright", "255")):
            if number > _MANY * self.count:
                yield Finding("warning" if number > 0.5 * self.count else "note", "light",
                              f"{number} of {self.count} pictures are very {word} (mean pixel near {end})",
                              "keep them only if the device sees such scenes, and add others")

    def _range(self) -> Iterator[Finding]:
        quantization, seen = self._input.quantization, self.tensor
        if quantization is None or seen.count == 0:
            return
        limits = self._input.dequantize(np.array([np.iinfo(self._input.dtype).min, np.iinfo(self._input.dtype).max],
                                                 self._input.dtype))
        low, high, step = float(limits[0]), float(limits[1]), quantization.scale[0]
        least, greatest = float(seen.least.min()), float(seen.greatest.max())
        said = (f"values lie in {least:.4g} to {greatest:.4g}, and the model's {self._input.dtype} input holds {low:.4g} to "
                f"{high:.4g}")
        if least < low - step or greatest > high + step:
            yield Finding("warning", "range", f"{said}: what lies outside is cut off", "see preprocess.mean and preprocess.std")
        elif greatest - least < _NEVER_USED * (high - low):
            yield Finding("warning", "range", f"{said}: nine tenths of it are never reached",
                          "see preprocess.mean and preprocess.std")

    def _balance(self) -> Iterator[Finding]:
        if not self._labels:
            return
        known = len(self._classes) or max(self._labels) + 1
        absent = [index for index in range(known) if not self._labels[index]]
        most, least = self._labels.most_common()[0], self._labels.most_common()[-1]
        if absent and known <= self.count // 2:
            yield Finding("note", "classes", f"{len(absent)} of {known} classes have no sample: {_first(self._names(absent))}",
                          "add some of each")
        if len(self._labels) > 1 and most[1] > 10 * least[1]:
            yield Finding("note", "classes", f"{most[1]} samples of class {self._names([most[0]])[0]}, and {least[1]} of "
                          f"{self._names([least[0]])[0]}", "take about as many of each")

    def _names(self, indices: Sequence[int]) -> list[str]:
        return [self._classes[index] if index < len(self._classes) else str(index) for index in indices]


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")

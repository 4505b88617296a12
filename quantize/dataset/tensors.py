"""From samples to the model's float inputs, through the preprocessing that the device runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.preprocess import Preprocess, build
from edgeinfer.model.preprocess.spec import PreprocessSpec
from edgeinfer.model.tensor import Array, TensorSpec
from quantize.dataset.samples import Dataset, Sample

__all__ = ["Tensors", "tensors"]


class Tensors:
    """(sample, {input: float32 array}) for each sample, anew each time it is walked. The arrays are the caller's.

    ``preprocess`` is what made the last one; its ``geometry`` takes boxes back to the sample's picture.
    """

    def __init__(self, dataset: Dataset, spec: PreprocessSpec, inputs: Sequence[TensorSpec],
                 indices: Sequence[int] | None = None) -> None:
        self.dataset, self.spec, self.inputs = dataset, spec, tuple(inputs)
        self._indices = indices
        self.preprocess: Preprocess | None = None
        self._largest: FrameFormat | WindowFormat | None = None

    def __len__(self) -> int:
        return len(self.dataset) if self._indices is None else len(self._indices)

    def __iter__(self) -> Iterator[tuple[Sample, dict[str, Array]]]:
        """Raises ManifestError where spec and tensor contradict each other, and what ``Dataset.samples`` raises."""
        first, *others = self.inputs
        for sample in self.dataset.samples(self._indices):
            feeds = {first.name: self._ready(sample.frame.format).reals(sample.frame)}
            for input in others:
                feeds[input.name] = sample.tensors[input.name]
            yield sample, feeds

    def _ready(self, format: FrameFormat | WindowFormat) -> Preprocess:
        """Preprocessing with room for that frame: built anew for one that is larger than all before."""
        grown: FrameFormat | WindowFormat
        if isinstance(format, FrameFormat) and isinstance(self._largest, FrameFormat):
            grown = FrameFormat(self._largest.pixel_format, max(format.height, self._largest.height),
                                max(format.width, self._largest.width))
            fits = grown == self._largest
        else:
            grown, fits = format, format == self._largest
        if self.preprocess is None or not fits:
            self._largest = grown
            self.preprocess = build(self.spec, self.inputs[0], grown)
        return self.preprocess


def tensors(dataset: Dataset, spec: PreprocessSpec, inputs: Sequence[TensorSpec],
            indices: Sequence[int] | None = None) -> Tensors:
    """The float tensors of a dataset for a model's ``inputs`` (float32, or quantised ones: their real values)."""
    return Tensors(dataset, spec, inputs, indices)

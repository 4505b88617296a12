"""Embeddings: who or what it is, of those enrolled on the device. The vector itself stays, unless the bundle says otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from edgeinfer.model.decoders.parameters import read, stricter
from edgeinfer.model.decoders.roles import named, only, size_of
from edgeinfer.model.decoders.scores import Real
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Identity
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Embed", "Parameters"]

WHERE = "decoder embed"
_TINY = 1e-12  # a shorter vector has no direction


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``enrolled``: the set of names on the device that vectors are compared with. ``threshold``: least cosine to be known.

    ``publish_embedding: true`` lets the vector leave the device. ``output`` names the tensor where there are several.
    """

    enrolled: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = "default"
    threshold: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.5
    unknown: str = "unknown"
    publish_embedding: bool = False
    output: str = ""


class Embed:
    """The vector is L2-normalised, so that a product with an enrolled one is their cosine.

    Whoever loads the bundle calls ``know`` with the set ``enrolled_set``; until then everything is unknown.
    """

    def __init__(self, parameters: Mapping[str, Any], outputs: Sequence[TensorSpec], labels: Sequence[str],
                 inputs: Sequence[TensorSpec], threshold: float | None = None) -> None:
        chosen = read(WHERE, parameters, Parameters)
        self.own_threshold = chosen.threshold
        self._threshold = stricter(chosen.threshold, threshold)
        self.enrolled_set = chosen.enrolled
        fitting = range(len(outputs))
        if chosen.output:
            self._output = named(f"{WHERE}.output", chosen.output, outputs)
        else:
            self._output = only(f"{WHERE}.output", "one output of a vector", fitting, outputs,
                                'name it: decoder.parameters.output: "NAME"')
        spec = outputs[self._output]
        self.size = size_of(WHERE, spec)
        self._real = Real(spec, WHERE)
        self.vector = np.zeros(self.size)  #: of the last frame, normalised; zeros where it had no direction
        self._known: tuple[tuple[str, ...], Array] = ((), np.empty((0, self.size)))
        self._unknown, self._publishes = chosen.unknown, chosen.publish_embedding
        self._result = Identity(name=self._unknown, embedding=[0.0] * self.size if self._publishes else [])

    @property
    def nbytes(self) -> int:
        return self.vector.nbytes + self._known[1].nbytes + 32 * len(self._result.embedding)

    def know(self, names: Sequence[str], vectors: Array) -> None:
        """Compare with these from the next frame on: ``vectors`` (names, size), each normalised. Any thread: the change is one
        assignment. Of another size is wrong use: RuntimeError."""
        if vectors.shape != (len(names), self.size):
            raise RuntimeError(f"{len(names)} vectors of {self.size} wanted, got {vectors.shape}")
        self._known = (tuple(names), np.array(vectors, np.float64))

    def decode(self, outputs: Sequence[Array], inputs: Sequence[Array], geometry: Geometry) -> Identity:
        """The same result each time."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is nobody
            vector = self._real.many(outputs[self._output].reshape(-1), out=self.vector)
            length = math.sqrt(vector.dot(vector).item())
            if not _TINY < length < math.inf:
                vector[:] = 0.0
            else:
                vector /= length
        return self._compare()

    def _compare(self) -> Identity:
        result, (names, vectors) = self._result, self._known
        result.similarity, result.known, result.name = 0.0, False, self._unknown
        if names:
            cosines = vectors @ self.vector
            best = int(cosines.argmax())
            result.similarity = min(max(float(cosines[best]), -1.0), 1.0)
            if result.similarity >= self._threshold and self.vector.any():
                result.known, result.name = True, names[best]
        if self._publishes:
            result.embedding[:] = self.vector.tolist()
        return result

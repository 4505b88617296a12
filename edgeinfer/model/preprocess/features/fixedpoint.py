"""The Fourier transform in 16 bits that TensorFlow Lite Micro's audio frontend has: KISS FFT with FIXED_POINT=16.

M. Borgerding, KISS FFT (BSD). Stages of 4, and one of 2 where the size wants it; before each stage values are divided by its radix,
and each product is rounded to 15 bits, so that the result is that of the C code, bit for bit. Complex numbers of two whole
float64 each: no product or sum here comes near 2**53, so all of it is exact.
"""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["RealTransform"]

_MOST = 32767


class RealTransform:
    """Of ``size`` real samples, a power of two from 4 on, to size // 2 + 1 bins."""

    def __init__(self, size: int) -> None:
        half = size // 2
        self._half = half
        self._radices = _radices(half)
        self._order = _order(np.arange(half), self._radices)
        self._input = np.zeros(size, np.int16)
        self._twiddles = self._stages()
        self._super = _fixed(-np.pi * (np.arange(1, half // 2 + 1) / half + 0.5))
        self._bins = np.zeros(half + 1, np.complex128)
        self.nbytes = sum(part.nbytes for part in (self._input, self._order, self._super, self._bins, *self._twiddles))

    def _stages(self) -> list[Array]:
        """For each stage, from the innermost: twiddles (radix - 1, m) of exp(-2 pi i q k / (radix m))."""
        made, m = [], 1
        for radix in reversed(self._radices):
            turns = np.arange(1, radix)[:, None] * np.arange(m)[None, :] * (self._half // (radix * m))
            made.append(_fixed(-2 * np.pi * turns / self._half))
            m *= radix
        return made

    def of(self, samples: Array, shift: int) -> Array:
        """complex128 (size // 2 + 1,) of whole numbers: of int16 ``samples`` times 2**shift and zeros behind them."""
        self._input[: len(samples)] = samples << np.int16(shift)
        values = self._input.astype(np.float64).view(np.complex128)[self._order]
        m = 1
        for radix, twiddles in zip(reversed(self._radices), self._twiddles, strict=True):
            values = (_by_four if radix == 4 else _by_two)(_divided(values, radix).reshape(-1, radix, m), twiddles)
            m *= radix
        return self._split(values)

    def _split(self, values: Array) -> Array:
        """The bins of the real samples, which were transformed as half as many complex ones."""
        half, out = self._half, self._bins
        halved = _divided(values, 2)
        first = halved[0]
        out[0], out[half] = _wrapped(np.array([first.real + first.imag, first.real - first.imag], np.complex128))
        ahead = halved[1 : half // 2 + 1]
        back = _divided(_wrapped(np.conj(values[half - 1 : half // 2 - 1 : -1])), 2)  # halving rounds up: the sign comes first
        total, turned = _wrapped(ahead + back), _wrapped(_product(_wrapped(ahead - back), self._super))
        out[1 : half // 2 + 1] = _halved(total + turned)
        out[half - 1 : half // 2 - 1 : -1] = _halved(np.conj(total - turned))
        return out


def _by_four(values: Array, twiddles: Array) -> Array:
    turned = _product(values[:, 1:], twiddles)
    made = np.empty_like(values)
    even, odd = values[:, 0] + turned[:, 1], values[:, 0] - turned[:, 1]
    total, difference = turned[:, 0] + turned[:, 2], (turned[:, 0] - turned[:, 2]) * -1j
    np.add(even, total, out=made[:, 0])
    np.add(odd, difference, out=made[:, 1])
    np.subtract(even, total, out=made[:, 2])
    np.subtract(odd, difference, out=made[:, 3])
    return _wrapped(made)


def _by_two(values: Array, twiddles: Array) -> Array:
    turned = _product(values[:, 1:], twiddles)[:, 0]
    return _wrapped(np.stack([values[:, 0] + turned, values[:, 0] - turned], 1))


def _product(values: Array, twiddles: Array) -> Array:
    """To 15 bits, half up."""
    made = values * twiddles
    parts = made.view(np.float64)
    parts += 16384
    parts *= 2.0**-15
    np.floor(parts, out=parts)
    return made


def _divided(values: Array, divisor: int) -> Array:
    made = values * (_MOST // divisor)
    parts = made.view(np.float64)
    parts += 16384
    parts *= 2.0**-15
    np.floor(parts, out=parts)
    return made


def _halved(values: Array) -> Array:
    parts = values.view(np.float64)
    parts *= 0.5
    np.floor(parts, out=parts)
    return values


def _wrapped(values: Array) -> Array:
    """As 16 bits hold them, flat: loud frames do overflow in the C code."""
    parts = values.reshape(-1).view(np.float64)
    return parts.astype(np.int32).astype(np.int16).astype(np.float64).view(np.complex128)


def _fixed(phase: Array) -> Array:
    return np.floor(0.5 + _MOST * np.cos(phase)) + 1j * np.floor(0.5 + _MOST * np.sin(phase))


def _radices(size: int) -> list[int]:
    found = []
    while size > 1:
        found.append(4 if size % 4 == 0 else 2)
        size //= found[-1]
    return found


def _order(places: Array, radices: list[int]) -> Array:
    """Which input stands where before the innermost stage: decimation in time."""
    if not radices:
        return places
    return np.concatenate([_order(places[first :: radices[0]], radices[1:]) for first in range(radices[0])])

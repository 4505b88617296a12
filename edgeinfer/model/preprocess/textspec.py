"""What a model of text takes: the numbers of tokens, by a tokenizer's file that lives in the bundle."""

from __future__ import annotations

import msgspec

from edgeinfer.errors import Fault
from edgeinfer.model.tensor import TensorSpec

__all__ = ["TextSpec", "text_faults"]

_MOST = 1 << 24  # numbers that float32, in which windows are held, tells apart


class TextSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tokenizer``: a file of the bundle, tokenizer.json of Hugging Face or BERT's vocab.txt (WordPiece, with ``lowercase`` for an
    uncased one). ``vocabulary``: how many tokens there are. ``field``: where a JSON object has the text.

    ``mask`` names the input that is 1 where there is a token and 0 behind them, where ``pad`` is; empty: there is none.
    """

    tokenizer: str
    vocabulary: int
    pad: int = 0
    mask: str = ""
    field: str = "text"
    lowercase: bool = True


def text_faults(spec: TextSpec, channels: int, length: int, hop: int, tensor: TensorSpec | None = None) -> list[Fault]:
    """What is wrong with it, for a window of such a size and the input tensor (None: not known)."""
    faults = []
    if channels != 1 or hop != length:
        faults.append(Fault("preprocess", f"1 channel and a hop of {length}, as texts are apart", f"{channels} and {hop}"))
    if not 1 <= spec.vocabulary <= _MOST:
        faults.append(Fault("preprocess.text.vocabulary", f"1 to {_MOST}", str(spec.vocabulary)))
    if not 0 <= spec.pad < max(spec.vocabulary, 1):
        faults.append(Fault("preprocess.text.pad", f"a token below {spec.vocabulary}", str(spec.pad)))
    if not spec.tokenizer or "/" in spec.tokenizer:
        faults.append(Fault("preprocess.text.tokenizer", "a file of the bundle", repr(spec.tokenizer)[:80]))
    if tensor is not None and tensor.dtype not in ("int32", "int64"):
        faults.append(Fault(f"input '{tensor.name}': dtype", "int32 or int64, for tokens", tensor.dtype,
                            "the input of tokens must be the first"))
    return faults

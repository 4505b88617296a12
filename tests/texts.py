"""A bundle that tells how a sentence is meant, with an answer one can work out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeinfer.model.bundle import Bundle
from quantize.pack import Given, pack
from tests.models import Op, Tensor, write_onnx

__all__ = ["VOCABULARY", "texts", "vocabulary"]

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "is", "it", "##ly", "##ness", "!", "ä", "strasse", "e", "##e", "國", "un"]
_FOR, _AGAINST, _PADDED = "good", "bad", "[PAD]"


def vocabulary(folder: Path) -> Path:
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return path


def texts(folder: Path, length: int = 8, mask: str = "attention_mask") -> Bundle:
    """The sum over tokens of (1, 0) for each "bad" and (0, 1) for each "good", through a softmax. A pad that is not masked would
    count as five "bad"."""
    table = np.zeros((len(VOCABULARY), 2), np.float32)
    for token, row in ((_FOR, (0, 1)), (_AGAINST, (1, 0)), (_PADDED, (5, 0))):
        table[VOCABULARY.index(token)] = row
    tensors = [Tensor("input_ids", (1, length), "int64"), Tensor("attention_mask", (1, length), "int64"), Tensor("token_type_ids", (1, length), "int64"),
               Tensor("table", table.shape, values=table), Tensor("last", (1,), "int64", values=np.array([2])),
               Tensor("middle", (1,), "int64", values=np.array([1])), Tensor("probabilities", (1, 2))]
    ops = [Op("Gather", ("table", "input_ids"), ("embedded",)), Op("Add", ("attention_mask", "token_type_ids"), ("both",)),
           Op("Cast", ("both",), ("real",), {"to": 1}), Op("Unsqueeze", ("real", "last"), ("column",)), Op("Mul", ("embedded", "column"), ("seen",)),
           Op("ReduceSum", ("seen", "middle"), ("sum",), {"keepdims": 0}), Op("Softmax", ("sum",), ("probabilities",))]
    model = write_onnx(folder / "meant.onnx", tensors, ops, ["input_ids", "attention_mask", "token_type_ids"], ["probabilities"])
    labels = folder / "labels.txt"
    labels.write_text("against\nfor\n")
    text = {"tokenizer": str(vocabulary(folder)), "vocabulary": len(VOCABULARY), "mask": mask}
    given = Given(decoder="classify", labels=str(labels), parameters={"threshold": 0},
                  preprocess={"kind": "window", "length": length, "channels": 1, "hop": length, "normalize": "none", "text": text})
    return pack(model, folder / "meant", given).bundle

"""Texts to tokens, as the package that models are trained with has them; and models that take them."""

from __future__ import annotations

import json
import math
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import BundleError, DataError, ManifestError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.preprocess.textspec import TextSpec, text_faults
from edgeinfer.model.tensor import TensorSpec
from edgeinfer.oneshot import answers
from edgeinfer.rows import Texts
from edgeinfer.sliding import frame_source
from edgeinfer.sources.jsonl import Jsonl, JsonlOptions
from edgeinfer.tokenizer import WordPiece, open_tokenizer
from tests.texts import texts, vocabulary

# what Unicode's versions agree on, without the brackets of special tokens
_LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=("Cn", "Co", "Cs"), exclude_characters="[]", max_codepoint=0x2FFF)
                   .filter(lambda letter: unicodedata.ucd_3_2_0.category(letter) != "Cn")
                   | st.sampled_from("goodbadisitunäÄÉé國!ßΣσς \t\n\0\ufffd\u200d\u0301"), max_size=40)


@pytest.mark.parametrize("lowercase", [True, False])
@settings(max_examples=150, deadline=None)
@given(text=_LETTERS | st.lists(st.sampled_from(["good", "bad", "goodly", "unness", "GOOD", "ungood", "Straße", "國國", "it!", " ", "ä", "x" * 101]), max_size=9).map("".join),
       length=st.integers(2, 24))
def test_wordpiece_is_that_of_the_package(tmp_path_factory: pytest.TempPathFactory, lowercase: bool, text: str, length: int) -> None:
    """Whatever the text, cased or not, cut or not."""
    tokenizers = pytest.importorskip("tokenizers")
    path = vocabulary(tmp_path_factory.getbasetemp())
    reference = tokenizers.BertWordPieceTokenizer(str(path), lowercase=lowercase, strip_accents=lowercase, clean_text=True)
    reference.enable_truncation(length)
    assert list(WordPiece(path, lowercase).encode(text, length)) == reference.encode(text).ids, unicodedata.normalize("NFD", text)


def test_only_a_line_feed_ends_a_token(tmp_path: Path) -> None:
    """Vocabularies of many languages have tokens that Python takes for the ends of lines; the numbers behind them must not shift."""
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path / "vocab.txt"
    path.write_bytes("[PAD]\r\n[UNK]\n[CLS]\n[SEP]\na\x85b\n\u2028\ngood\nx\x0cy\nbad".encode())
    assert WordPiece(path, True).encode("good bad", 8) == tokenizers.BertWordPieceTokenizer(str(path)).encode("good bad").ids == [2, 6, 8, 3]


def test_a_text_that_the_tokenizer_does_not_take_is_refused(tmp_path: Path) -> None:
    """A vocabulary without an entry for what is unknown: the row is at fault, not the source."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"good": 0}, unk_token="[UNK]"))
    made.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=r"text: expected one that the bundle's tokenizer knows, got .*UNK"):
        open_tokenizer(tmp_path / "tokenizer.json", True).encode("bad", 8)


def test_a_tokenizer_json_is_read_with_the_package(tmp_path: Path) -> None:
    """Cut to the length; its own padding is switched off."""
    tokenizers = pytest.importorskip("tokenizers")
    reference = tokenizers.BertWordPieceTokenizer(str(vocabulary(tmp_path)))
    reference.enable_padding(length=50)
    reference.save(str(tmp_path / "tokenizer.json"))
    tokenizer = open_tokenizer(tmp_path / "tokenizer.json", True)
    assert list(tokenizer.encode("it is good!", 20)) == [2, 8, 7, 5, 11, 3]
    assert len(tokenizer.encode("good " * 100, 7)) == 7


@pytest.mark.parametrize(("name", "content"), [("tokenizer.json", "{"), ("tokenizer.json", "{}"), ("vocab.txt", "good\nbad\n"), ("vocab.txt", "\udcff")])
def test_a_file_that_is_no_tokenizer_is_an_error_with_its_name(tmp_path: Path, name: str, content: str) -> None:
    """Found when the configuration is checked."""
    pytest.importorskip("tokenizers")
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match=name):
        open_tokenizer(tmp_path / name, True)


def test_a_sentence_goes_through_a_model(tmp_path: Path) -> None:
    """Its tokens, the mask that hides what is behind them, and rest for the input that nobody names; one after the other."""
    bundle = texts(tmp_path)
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ("it is good", {"text": "Bad, bad badness!"}, {"text": ""}, "good " * 50)))
    source = frame_source(Jsonl(JsonlOptions(path=str(tmp_path / "s.jsonl"))), bundle.manifest.preprocess, "source", folder=bundle.folder)
    engine = Engine(bundle, RuntimeOptions())
    lane = engine.lane(source.format())
    frame = Frame(source.format())
    seen = []
    source.open()
    while source.read_into(frame):
        best = lane.infer(frame).document()["classes"][0]
        seen.append((best["label"], round(best["score"], 4)))
    source.close()
    engine.close()

    def score(votes: int) -> float:
        return round(1 / (1 + math.exp(-votes)), 4)
    assert seen == [("for", score(1)), ("against", score(3)), ("against", 0.5), ("for", score(6))]


def test_a_row_without_a_text_or_with_an_unknown_token_is_refused(tmp_path: Path) -> None:
    """Never guessed."""
    vocabulary(tmp_path)
    spec = WindowSpec(length=4, hop=4, text=TextSpec(tokenizer="vocab.txt", vocabulary=5))
    assert spec.text is not None
    texts_ = Texts(spec, spec.text, tmp_path)
    samples = np.zeros((4, 1), np.float32)
    for row, words in (({"txt": "x"}, "text: expected a text, got None"), ({"text": 5}, "got 5"), ("good", "tokens below 5")):
        with pytest.raises(DataError, match=words):
            texts_.write(row, samples)
    texts_.write("???", samples)
    assert samples[:, 0].tolist() == [2, 1, 1, 3]


@pytest.mark.parametrize(("change", "words"), [({"vocabulary": 0}, "vocabulary"), ({"pad": 9}, "pad"), ({"tokenizer": "../x"}, "tokenizer"), ({"vocabulary": 1 << 25}, "vocabulary")])
def test_a_spec_that_cannot_be_meant_is_a_fault(change: dict[str, object], words: str) -> None:
    """Of the manifest."""
    spec = TextSpec(**{"tokenizer": "vocab.txt", "vocabulary": 9, **change})  # type: ignore[arg-type]
    assert words in str(text_faults(spec, 1, 4, 4)[0])
    assert "1 channel" in str(text_faults(TextSpec(tokenizer="v", vocabulary=9), 1, 4, 2)[0])
    assert "int32" in str(text_faults(TextSpec(tokenizer="v", vocabulary=9), 1, 4, 4, TensorSpec(name="ids", shape=(1, 4), dtype="float32"))[0])


def test_a_mask_that_is_no_input_is_refused(tmp_path: Path) -> None:
    """When the bundle is packed."""
    with pytest.raises(ManifestError, match=r"preprocess\.text\.mask: expected an input after the first: attention_mask, token_type_ids, got 'nothing'"):
        texts(tmp_path, mask="nothing")


def test_tokens_stay_within_the_vocabulary_whatever_a_recording_holds() -> None:
    """A number beyond it would end a runtime's lookup."""
    spec = WindowSpec(length=6, hop=6, text=TextSpec(tokenizer="v", vocabulary=9))
    frame = Frame(WindowFormat(6, 1))
    frame.view[:, 0] = [-5, 3.4, 1e30, math.nan, math.inf, 8]
    out = np.zeros((1, 6), np.int64)
    build(spec, TensorSpec(name="ids", shape=(1, 6), dtype="int64"), WindowFormat(6, 1)).run(frame, out)
    assert out.tolist() == [[0, 3, 8, 0, 8, 8]]


def test_one_shot_inference_reads_lines_of_texts(tmp_path: Path) -> None:
    """With the bundle's tokenizer."""
    bundle = texts(tmp_path)
    (tmp_path / "s.jsonl").write_text('"it is bad"\n{"text": "good"}\n')
    engine = Engine(bundle, RuntimeOptions())
    labels = [answer.result.document()["classes"][0]["label"] for answer in answers(engine, tmp_path / "s.jsonl")]
    engine.close()
    assert labels == ["against", "for"]

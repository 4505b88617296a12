"""Text to numbers of tokens: BERT's WordPiece by its vocab.txt, or whatever a tokenizer.json says (extra ``text``)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from edgeinfer.errors import BundleError, DataError, UnavailableError

__all__ = ["Tokenizer", "WordPiece", "open_tokenizer"]

_MOST_CHARACTERS = 16384  # of a text; what is behind them is cut before it costs time
_LONGEST_WORD = 100  # characters; a longer one is unknown


class Tokenizer(Protocol):
    """Belongs to one thread."""

    def encode(self, text: str, length: int) -> Sequence[int]:
        """At most ``length`` tokens, with those that begin and end a text. Raises DataError for a text that has none."""
        ...


def open_tokenizer(path: Path, lowercase: bool) -> Tokenizer:
    """The tokenizer of a bundle's file. Raises BundleError, and UnavailableError without the package that it takes."""
    if path.suffix == ".txt":
        return WordPiece(path, lowercase)
    try:
        import tokenizers
    except ImportError as error:
        raise UnavailableError("preprocess.text.tokenizer", "the package tokenizers", str(error),
                               "pip install 'edgeinfer[text]'") from error
    try:
        return _FromJson(tokenizers.Tokenizer.from_file(str(path)))
    except Exception as error:  # its errors are plain Exceptions
        raise BundleError(path.name, "a tokenizer.json", str(error)[:200]) from error


class _FromJson:
    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        tokenizer.no_padding()  # the rest is ours

    def encode(self, text: str, length: int) -> Sequence[int]:
        self._tokenizer.enable_truncation(length)
        try:
            ids: Sequence[int] = self._tokenizer.encode(text[:_MOST_CHARACTERS]).ids
        except Exception as error:  # its errors are plain Exceptions
            raise DataError("text", "one that the bundle's tokenizer knows", " ".join(str(error).split())[:200]) from error
        return ids[:length]


class WordPiece:
    """J. Devlin et al., BERT (2018): words and punctuation apart, each word as the longest pieces that the vocabulary has.

    What it answers is what the package tokenizers does; but a [SEP] in a text is no separator here.
    """

    def __init__(self, path: Path, lowercase: bool) -> None:
        """``path``: a token a line. Raises BundleError."""
        try:
            tokens = [line.rstrip() for line in path.read_bytes().decode().split("\n")]  # other ends of lines are letters here
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(path.name, "a vocabulary, a token a line", str(error)) from error
        self._numbers = {token: number for number, token in enumerate(tokens)}
        missing = [token for token in ("[CLS]", "[SEP]", "[UNK]") if token not in self._numbers]
        if missing:
            raise BundleError(path.name, "BERT's vocabulary", f"one without {', '.join(missing)}")
        self._first, self._last, self._unknown = (self._numbers[token] for token in ("[CLS]", "[SEP]", "[UNK]"))
        self._lowercase = lowercase

    def encode(self, text: str, length: int) -> Sequence[int]:
        found: list[int] = []
        for word in self._words(text[:_MOST_CHARACTERS]):
            found += self._pieces(word)
            if len(found) >= length:
                break
        return [self._first, *found[: max(length - 2, 0)], self._last][:length]

    def _words(self, text: str) -> list[str]:
        spaced = "".join(f" {c} " if _is_ideograph(c) else " " if c.isspace() else c for c in text if not _is_noise(c))
        if self._lowercase:
            bare = (c for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn")
            spaced = "".join(c.lower() for c in bare)  # one by one: a sigma is the same at a word's end
        return "".join(f" {c} " if _is_punctuation(c) else c for c in spaced).split()

    def _pieces(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._numbers.get(word[start:end] if start == 0 else f"##{word[start:end]}")
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start = end
        return found


def _is_noise(c: str) -> bool:
    return c in "\0\ufffd" or (unicodedata.category(c)[0] == "C" and c not in "\t\n\r")


def _is_punctuation(c: str) -> bool:
    return (c.isascii() and c.isprintable() and not c.isalnum() and c != " ") or unicodedata.category(c)[0] == "P"


def _is_ideograph(c: str) -> bool:
    """CJK as BERT has it: words there have no spaces between."""
    code = ord(c)
    return (0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2A6DF or 0x2A700 <= code <= 0x2B73F
            or 0x2B740 <= code <= 0x2B81F or 0x2B920 <= code <= 0x2CEAF or 0xF900 <= code <= 0xFAFF or 0x2F800 <= code <= 0x2FA1F)

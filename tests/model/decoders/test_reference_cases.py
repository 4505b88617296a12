"""Every case gives what its file says and, to the last digit of a payload, what the models' own code makes of the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer.model.decoders import DECODERS
from tests.model.decoders.cases import Case, load, names
from tests.model.decoders.reference_cases import MADE, REFERENCES, agree, expected_of

DTYPES = ("float32", "uint8", "int8")
ALL = [(decoder, name, turned) for decoder in REFERENCES for name in MADE.get(decoder, names(decoder))
       for turned in (False, True) if not turned or load(decoder, name, "float32").document["turned"]]
LAST_DIGIT = 6e-4  # payloads have four digits, scores of keypoints three


def _decoder(decoder: str, case: Case) -> Any:
    document = case.document
    made = DECODERS.load(decoder, "test")(document["parameters"], case.outputs, document["labels"], case.inputs)
    if "known" in document:
        vectors = np.array(list(document["known"].values()))
        made.know(list(document["known"]), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("decoder", "name", "turned"), ALL)
def test_a_case_gives_what_it_says(decoder: str, name: str, dtype: Any, turned: bool) -> None:
    """Cases in float32, uint8 and int8, channels first and last, the second time in rows that are already written."""
    case = load(decoder, name, dtype, turned)
    made, reference = _decoder(decoder, case), expected_of(decoder, load(decoder, name, dtype))
    for _ in range(2):
        said = made.decode(case.stored, case.given, case.geometry).document()
        assert agree(said, reference, LAST_DIGIT), (said, reference)
        assert agree(said, case.document["expected"], case.document["atol"] if dtype != "float32" else LAST_DIGIT)

"""Every case gives what the case says and, to the last digit, what plain Python makes of the same real values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.result import Classes, Detections
from tests.model.decoders import reference
from tests.model.decoders.cases import Case, load, names
from tests.model.decoders.reference_cases import MADE

DTYPES = ("float32", "uint8", "int8")
STEPS = 0.03  # 8 bits of a range of 64 are steps of 1/4 pixel, and the expectations were worked out by hand


def _decoder(name: str, case: Case) -> Any:
    document = case.document
    return DECODERS.load(name, "test")(document["parameters"], case.outputs, document["labels"], case.inputs)


def _rows(result: Classes | Detections) -> list[tuple[float, ...]]:
    if isinstance(result, Classes):
        return [(row.index, row.score) for row in result.rows[: result.count]]
    return [(row.index, row.score, row.left, row.top, row.right, row.bottom) for row in result.rows[: result.count]]


def _check(name: str, case: Case, expected: list[tuple[float, ...]]) -> None:
    decoder = _decoder(name, case)
    for _ in range(2):  # the second time in rows that are already written
        rows = _rows(decoder.decode(case.stored, case.given, case.geometry))
        assert [row[0] for row in rows] == [row[0] for row in case.document["expected"]]
        if rows:
            np.testing.assert_allclose(rows, case.document["expected"], atol=STEPS)
            np.testing.assert_allclose(rows, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", names("classify"))
def test_classify(name: str, dtype: Any) -> None:
    """Classification cases in float32, uint8 and int8."""
    case = load("classify", name, dtype)
    parameters = case.document["parameters"]
    _check("classify", case, reference.classify(parameters, case.real[0].ravel().tolist(), parameters.get("threshold", 0.0)))


@pytest.mark.parametrize("turned", [False, True], ids=["as-is", "turned"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", names("yolo"))
def test_yolo(name: str, dtype: Any, turned: bool) -> None:
    """YOLO cases in float32, uint8 and int8, channels first and last."""
    case, plain = load("yolo", name, dtype, turned), load("yolo", name, dtype)
    parameters = case.document["parameters"]
    real = {spec.name: values for spec, values in zip(plain.outputs, plain.real, strict=True)}
    boxes, objectness, classes = _yolo_parts(parameters["variant"], real)
    found = reference.yolo(parameters, boxes, objectness, classes, parameters.get("threshold", 0.25), (64, 64))
    _check("yolo", case, reference.placed(found, case.geometry, 100))


def _yolo_parts(variant: str, real: dict[str, Any]) -> tuple[list[list[float]], list[float] | None, list[list[float]]]:
    """Boxes, objectness and classes by candidate. In the case files a v8 has channels first, the others channels last."""
    tables = {name: (values.T if variant == "v8" else values).tolist() for name, values in real.items()}
    if "scores" in tables:
        boxes = real["boxes"].T.tolist() if variant == "v8" else real["boxes"].tolist()
        return boxes, [one[0] for one in tables["obj"]] if "obj" in tables else None, tables["scores"]
    whole = next(iter(tables.values()))
    lead = 4 if variant == "v8" else 5
    return [one[:4] for one in whole], [one[4] for one in whole] if lead == 5 else None, [one[lead:] for one in whole]


@pytest.mark.parametrize("turned", [False, True], ids=["as-is", "turned"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in names("ssd") if name not in MADE["ssd"]])
def test_ssd(name: str, dtype: Any, turned: bool) -> None:
    """SSD cases in float32, uint8 and int8, raw heads channels first and last; the count stays float, as converters leave it."""
    case, plain = load("ssd", name, dtype, turned), load("ssd", name, dtype)
    parameters = case.document["parameters"]
    threshold = parameters.get("threshold", 0.5)
    if "anchors" in parameters:
        anchors = _anchors(parameters["anchors"])
        boxes, logits = (real.tolist() for real in plain.real)
        found = reference.ssd_raw(parameters, anchors, boxes, logits, threshold, (64, 64))
    else:
        found = reference.ssd_postprocessed(parameters, *_ssd_parts(plain), threshold)
    _check("ssd", case, reference.placed(found, case.geometry, 100))


def _ssd_parts(case: Case) -> Any:
    """Boxes, classes, scores and count: by name, in the case files' alphabet."""
    ordered = sorted(zip(case.outputs, case.real, strict=True), key=lambda pair: pair[0].name.replace("num_", "z"))
    return [real.tolist() for _, real in ordered]


def _anchors(recipe: dict[str, Any]) -> list[list[float]]:
    """By hand for a 64 x 64 picture and strides 32 and 64: four cells, then one."""
    cells = [(y, x) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    if recipe["recipe"] == "blazeface":
        return [[y, x, 1.0, 1.0] for y, x in cells for _ in range(2)] + [[0.5, 0.5, 1.0, 1.0]] * 2
    root = 2**0.5
    lowest = [(0.1, 0.1), (0.2 / root, 0.2 * root), (0.2 * root, 0.2 / root)]
    last = [(0.95, 0.95), (0.95 / root, 0.95 * root), (0.95**0.5, 0.95**0.5)]
    return [[y, x, h, w] for y, x in cells for h, w in lowest] + [[0.5, 0.5, h, w] for h, w in last]

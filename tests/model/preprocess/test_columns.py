"""Rows of named values to numbers, by the tables of a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import DataError
from edgeinfer.model.preprocess.columns import Column, Columns, column_faults

COUNTRY = {"DE": 0.0, "FR": 1.0, "true": 2.0, "7": 3.0}


@pytest.mark.parametrize(("column", "row", "expected"), [
    (Column(name="x"), {"x": 5}, [5]), (Column(name="x"), {"x": -0.5, "y": "z"}, [-0.5]), (Column(name="x"), {"x": True}, [1]),
    (Column(name="x", missing=-1), {"x": None}, [-1]), (Column(name="x", missing=-1), {}, [-1]),
    (Column(name="x", categories=COUNTRY), {"x": "FR"}, [1]), (Column(name="x", categories=COUNTRY), {"x": True}, [2]),
    (Column(name="x", categories=COUNTRY), {"x": 7}, [3]), (Column(name="x", categories=COUNTRY, unknown=9), {"x": "IT"}, [9]),
    (Column(name="x", categories=COUNTRY, one_hot=True), {"x": "FR"}, [0, 1, 0, 0]),
    (Column(name="x", categories=COUNTRY, one_hot=True, unknown=-1), {"x": "IT"}, [0, 0, 0, 0]),
    (Column(name="x", categories=COUNTRY, one_hot=True, missing=3), {}, [0, 0, 0, 1]),
])
def test_a_value_becomes_what_the_model_was_trained_on(column: Column, row: dict[str, Any], expected: list[float]) -> None:
    """Numbers, truth values, categories, and what stands in for those that are not there."""
    columns = Columns([Column(name="before", missing=8), column])
    out = np.full(columns.width, 99, np.float32)
    columns.write(row, out)
    assert out.tolist() == [8, *expected]


@pytest.mark.parametrize(("column", "row", "words"), [
    (Column(name="amount"), {}, "amount: expected a value, got no such column"), (Column(name="amount"), {"amount": None}, "got null"),
    (Column(name="amount"), {"amuont": 1}, "did you mean 'amuont'"), (Column(name="x"), {"x": "5"}, "a finite number"),
    (Column(name="x"), {"x": 1e39}, "a finite number"), (Column(name="x"), {"x": float("nan")}, "a finite number"), (Column(name="x"), {"x": [1]}, "a finite number"),
    (Column(name="x", categories=COUNTRY), {"x": "IT"}, "expected one of DE, FR, true, 7, got 'IT'"),
    (Column(name="x", categories=COUNTRY), {"x": "fr"}, "known: 7, DE, FR, true"), (Column(name="x", categories=COUNTRY), {"x": {}}, "expected one of"),
])
def test_a_value_that_the_model_does_not_know_is_refused_with_its_column(column: Column, row: dict[str, Any], words: str) -> None:
    """Never guessed."""
    with pytest.raises(DataError) as caught:
        Columns([column]).write(row, np.zeros(column.width, np.float32))
    assert words in str(caught.value)


@pytest.mark.parametrize(("columns", "channels", "words"), [
    ([Column(name="x")], 2, "2 channels together"), ([Column(name="x"), Column(name="x")], 2, "none twice"), ([Column(name="")], 1, "a name"),
    ([Column(name="x", missing=float("inf"))], 1, "finite"), ([Column(name="x", unknown=1)], 1, "categories only"),
    ([Column(name="x", one_hot=True)], 0, "one_hot"), ([Column(name="x", one_hot=True, categories={"a": 1})], 1, "one_hot"),
    ([Column(name="x", one_hot=True, categories={"a": 0}, missing=1)], 1, "-1 or one of"),
])
def test_a_table_that_cannot_be_meant_is_a_fault_of_the_manifest(columns: list[Column], channels: int, words: str) -> None:
    """Found when the bundle is packed, and when it is opened."""
    assert words in str(column_faults(columns, channels)[0])
    assert column_faults([], 5) == []

"""Plain values (from YAML or JSON) to frozen typed structs, with all faults at once and a suggestion for a mistyped key."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from edgeinfer.errors import Fault
from edgeinfer.registry import closest

__all__ = ["convert"]

T = TypeVar("T")


def convert(value: Any, wanted: type[T], where: str, faults: list[Fault]) -> T | None:
    """``value`` as ``wanted`` (a msgspec Struct or any type msgspec knows); None with faults added where it does not fit.

    Structs and mappings are walked field by field, so that one run finds every fault. Unions of tagged structs are
    resolved by their tag.
    """
    before = len(faults)
    struct = _struct_of(value, wanted)
    if struct is not None:
        return typing.cast("T | None", _convert_struct(value, struct, where, faults))
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is dict and isinstance(value, Mapping):
        items = {key: convert(item, arguments[1], f"{where}.{key}", faults) for key, item in value.items()}
        return typing.cast("T", items) if len(faults) == before else None
    if origin is tuple and arguments[1:] == (...,) and isinstance(value, list | tuple):
        rows = tuple(convert(item, arguments[0], f"{where}[{index}]", faults) for index, item in enumerate(value))
        return typing.cast("T", rows) if len(faults) == before else None
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        faults.append(Fault(where, *_expected_and_got(str(error), value)))
        return None


def _struct_of(value: Any, wanted: Any) -> type[msgspec.Struct] | None:
    """The struct that ``value`` should become: ``wanted`` itself, or the member of a union that its tag names."""
    members = typing.get_args(wanted) if _is_union(wanted) else (wanted,)
    structs = [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]
    if not isinstance(value, Mapping) or not structs:
        return structs[0] if structs and len(members) == 1 else None
    if len(structs) == 1:
        return structs[0]
    for struct in structs:
        config = struct.__struct_config__
        if value.get(config.tag_field) == config.tag:
            return struct
    return None


def _is_union(wanted: Any) -> bool:
    return typing.get_origin(wanted) in (typing.Union, types.UnionType)


def _convert_struct(value: Any, struct: type[msgspec.Struct], where: str, faults: list[Fault]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(Fault(where or "document", "a mapping of keys", _show(value)))
        return None
    before = len(faults)
    tag_field = struct.__struct_config__.tag_field
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    hints = typing.get_type_hints(struct, include_extras=True)  # with the limits that Meta sets
    if struct.__struct_config__.forbid_unknown_fields:
        for key in value:
            if key not in fields and key != tag_field:
                faults.append(Fault(_join(where, str(key)), "a known key", f"'{key}'", closest(str(key), list(fields))))
    made: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            made[field.name] = convert(value[name], hints[field.name], _join(where, name), faults)
        elif field.required:
            faults.append(Fault(_join(where, name), "a value (this key is required)", "nothing"))
    if len(faults) > before:
        return None
    try:
        return struct(**made)
    except ValueError as error:  # a struct's own __post_init__: "expected X, got Y"
        faults.append(Fault(where or "document", *_expected_and_got(str(error), value)))
        return None


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _expected_and_got(message: str, value: Any) -> tuple[str, str]:
    """msgspec's "Expected `int`, got `str` - at `$`" as two halves, with the value itself shown."""
    text = message.split(" - at ", maxsplit=1)[0].replace("`", "").removeprefix("Expected ").removeprefix("expected ")
    expected, _, got = text.partition(", got ")
    shown = _show(value)
    return (expected, f"{got} {shown}" if got and not isinstance(value, Mapping) else got or shown)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""YAML as a configuration needs it: safe, one mapping, and without what YAML allows and nobody means."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import yaml

from edgeinfer.errors import ConfigError, Fault

__all__ = ["read_yaml"]

# what PyYAML lets out on bytes that are no YAML, and on a tag that does not fit its value (!!bool maybe)
_NOT_YAML = (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, ArithmeticError)
_MOST_VALUES, _DEEPEST = 20_000, 50  # with each alias counted as what it stands for
_TOO_MANY = f"at most {_MOST_VALUES} values, {_DEEPEST} deep"
_FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+\Z")  # YAML 1.2; to 1.1 1e-3 is a text
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # no file name and no message holds these, however YAML escapes them


class _Loader(yaml.SafeLoader):
    """Gives up at a depth and a size that no configuration has: PyYAML's own time grows with the square of the depth, and a
    megabyte of keys takes it half a minute."""

    _depth = _nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        self._nodes += 1
        if self._depth > _DEEPEST or self._nodes > _MOST_VALUES:
            raise yaml.YAMLError(f"more than {_DEEPEST} levels or {_MOST_VALUES} values")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_yaml(text: bytes, where: str) -> dict[Any, Any]:
    """The mapping that ``text`` holds. Raises ConfigError, with the place, for anything else."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is not None:
            _check_nodes(root, where)
        document = None if root is None else loader.construct_document(root)
    except _NOT_YAML as error:
        raise ConfigError(where, "YAML", " ".join(str(error).split())[:300],
                          "check the indentation at the place named") from error
    if not isinstance(document, dict):
        raise ConfigError(where, "a mapping with the keys pipelines and sink", type(document).__name__)
    return document


def _check_nodes(root: yaml.Node, where: str) -> None:
    """Refuse what YAML allows and a configuration never means, before any value is made: a key given twice (the last would
    win), text that no file name can hold, and aliases of aliases, which multiply, or of themselves, which never end."""
    faults: list[Fault] = []
    rest, visits = [(root, 0)], 0
    while rest:
        node, depth = rest.pop()
        visits += 1
        if visits > _MOST_VALUES or depth > _DEEPEST:
            raise ConfigError(where, _TOO_MANY, "more", "write aliases (*name) out")
        place = f"{where}: line {node.start_mark.line + 1}"
        if isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            faults += [Fault(place, "each key once", f"'{key}' {count} times") for key, count in keys.items() if count > 1]
            rest += [(child, depth + 1) for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            rest += [(child, depth + 1) for child in node.value]
        elif _UNUSABLE.search(node.value):
            faults.append(Fault(place, "text without NUL and lone surrogates", ascii(node.value)[:80]))
    if faults:
        raise ConfigError.of(faults)

"""Reading the config that a checkpoint of mmdetection has as Python text, without running it."""

import ast
import operator
from typing import Any

UNKNOWN = object()
"""Stands for a value that is not a plain one, such as a call."""
MAX_LENGTH = 2**20
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def parse_config(text: str) -> dict[str, Any]:
    """The top-level values of a config.

    Early versions of mmcv wrote the text of all base files in a row, each after a line with its
    path. As there, a dict is merged into an earlier one of the same name.

    Args:
        text: assignments to names. Values are numbers, text, lists, tuples, dicts, calls of
            ``dict``, names assigned before, and arithmetic with these; others become ``UNKNOWN``.

    Returns:
        values by name; none if the text is not Python.
    """
    lines = [x for x in text.splitlines() if "=" in x or not x.rstrip().endswith(".py")]
    if len(text) > MAX_LENGTH:
        return {}
    try:
        statements = ast.parse("\n".join(lines)).body
        values: dict[str, Any] = {}
        for statement in statements:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                name = statement.targets[0].id
                values[name] = _merge(values.get(name), _value(statement.value, values))
    # The parser also raises MemoryError, if brackets are nested too deeply.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return values


def _merge(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict) or new.get("_delete_"):
        return new
    return {**old, **{key: _merge(old.get(key), value) for key, value in new.items()}}


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    """The value of an expression."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(x, names) for x in node.elts]
    if isinstance(node, ast.Name):
        return names.get(node.id, UNKNOWN)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _arithmetic(operator.sub, 0, _value(node.operand, names))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, names), _value(node.right, names)
        return _arithmetic(_OPERATORS[type(node.op)], left, right)
    if isinstance(node, ast.Dict):
        pairs = list(zip(node.keys, node.values, strict=True))
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        pairs = [(x.arg and ast.Constant(x.arg), x.value) for x in node.keywords]
    else:
        return UNKNOWN
    found: dict[Any, Any] = {}
    for key, item in pairs:
        value = _value(item, names)
        if key is None:
            found.update(value if isinstance(value, dict) else {})
        elif isinstance(key, ast.Constant):
            found[key.value] = value
    return found


def _arithmetic(function: Any, left: Any, right: Any) -> Any:
    if not all(type(x) in (int, float) and abs(x) < 1e9 for x in (left, right)):
        return UNKNOWN
    return UNKNOWN if function is operator.truediv and right == 0 else function(left, right)

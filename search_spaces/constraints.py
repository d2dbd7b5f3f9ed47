"""Constraints on candidates: arithmetic over a setting's keys, read without running any code.

prompt.context_length * prompt.n_prompts <= 32
alignment.local_form != "ot" or prompt.n_prompts >= 2
"""

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dualpt.core.config.sections import Value
from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.errors import UserError, nearest
from dualpt.search_spaces.parameters import SHOTS

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
HYPHEN = "·"
"""Stands for the hyphen in the name of a method: Python allows it within identifiers."""
LANGUAGE = "keys, numbers and words with + - * / // %, comparisons, in, and, or, not"


@dataclass(frozen=True)
class Constraint:
    """What every candidate must satisfy."""

    text: str
    keys: frozenset[str]
    """Dotted keys that it depends on."""
    _tree: ast.expr = field(repr=False, compare=False)

    def holds(self, values: Mapping[str, Value]) -> bool:
        """
        Args:
            values: every key of the setting, and the shots where the constraint names them.

        Raises:
            UserError: the values do not fit the arithmetic: a key that is not set, a word times a number, x / 0.
        """
        try:
            return bool(_value(self._tree, values))
        except (TypeError, ArithmeticError, RecursionError) as error:
            unset = [key for key in sorted(self.keys) if values[key] is None]
            reason = f"{unset[0]} is not set" if unset else str(error)
            raise UserError(f"'{self.text}' cannot be evaluated: {reason}") from None


def parse_constraint(
    text: Any, searched: Collection[str], source: str, known: Collection[str] = SETTING_KEYS
) -> Constraint:
    """Read one constraint.

    Args:
        text: as written in the file.
        searched: the keys of the space.
        source: file and key, for error messages.
        known: the keys of the setting.

    Raises:
        UserError: it is not a comparison in the language, or names an unknown key or no searched one.
    """
    if not isinstance(text, str):
        raise UserError(f"{source}: expected text such as 'prompt.n_prompts <= 2', found {text!r}")
    try:
        tree = ast.parse(_as_identifiers(text, known).strip(), mode="eval").body
        keys = frozenset(_keys(tree, text, source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f"{source}: '{text:.200}' is not an expression of {LANGUAGE}") from None
    if not _is_condition(tree):
        raise UserError(f"{source}: '{text}' is neither true nor false; write a comparison such as … <= 32")
    for key in sorted(keys):
        if key not in known and key != SHOTS:
            raise UserError(f"{source}: unknown key '{key}' in '{text}'{nearest(key, [*known, SHOTS])}")
    if SHOTS in keys and SHOTS not in searched:
        raise UserError(f"{source}: '{text}' names {SHOTS}, which is not searched")
    if not keys & set(searched):
        raise UserError(f"{source}: '{text}' names no searched key; it holds for every candidate or for none")
    return Constraint(text, keys, tree)


def _as_identifiers(text: str, known: Collection[str]) -> str:
    """Keys such as `tip-adapter.alpha` spelled so that Python doesn't read a difference; `_dotted` reads them back."""
    for key in sorted(known, key=len, reverse=True):
        if "-" in key:
            text = text.replace(key, key.replace("-", HYPHEN))
    return text


def _keys(node: ast.expr, text: str, source: str) -> list[str]:
    """Dotted keys of an expression; anything outside the language is refused here."""
    match node:
        case ast.Name() | ast.Attribute():
            return [_dotted(node, text, source)]
        case ast.Constant(value=str() | int() | float() | bool() | None):
            return []
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=part):
            parts = [part]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            parts = [left, right]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARISONS for op in ops):
            parts = [left, *others]
        case _:
            raise UserError(f"{source}: '{ast.unparse(node)}' in '{text}' is not understood; use {LANGUAGE}")
    return [key for part in parts for key in _keys(part, text, source)]


def _dotted(node: ast.expr, text: str, source: str) -> str:
    match node:
        case ast.Name(id=name):
            return name.replace(HYPHEN, "-")
        case ast.Attribute(value=inner, attr=name):
            return f"{_dotted(inner, text, source)}.{name}"
        case _:
            raise UserError(f"{source}: '{ast.unparse(node)}' in '{text}' is not a key")


def _is_condition(node: ast.expr) -> bool:
    match node:
        case ast.BoolOp(values=parts):
            return all(map(_is_condition, parts))
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return _is_condition(part)
        case ast.Compare():
            return True
        case ast.Name() | ast.Attribute() | ast.Constant() | ast.List() | ast.Tuple() | ast.BinOp() | ast.UnaryOp():
            return False
        case _:
            raise _outside(node)


def _value(node: ast.expr, values: Mapping[str, Value]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, values) for part in parts]
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _value(part, values)
        case ast.UnaryOp(operand=part):
            return -_number(part, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_number(left, values), _number(right, values))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_value(side, values) for side in (left, *others)]
            pairs = zip(sides, ops, sides[1:], strict=False)
            return all(_COMPARISONS[type(op)](a, b) for a, op, b in pairs)
        case ast.Name() | ast.Attribute():
            return values[_dotted(node, "", "")]
        case _:
            raise _outside(node)


def _outside(node: ast.expr) -> AssertionError:
    """The error of a part that `_keys` lets through and the rest of this module does not know."""
    return AssertionError(f"'{ast.unparse(node)}' is outside the language of constraints")


def _number(node: ast.expr, values: Mapping[str, Value]) -> float:
    """The value of an operand: Python would also repeat a word, at any length."""
    value = _value(node, values)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{ast.unparse(node)} is {value!r}, which isn't a number")
    return value

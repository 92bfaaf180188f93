"""Expressions in a node's config: CEL, which cannot loop for ever, reach the machine or change anything.

A config's text `{{ data.company }}` is replaced by the value, of whatever kind, when it is the whole text, and by its
text when it is a part of it. What is known: `data`, the record of the run; `nodes`, the outputs by slug; and, in a tool
that an agent calls, its `arguments`.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import msgspec

from tallystick.runner.failures import NodeError

Scope = Mapping[str, Any]

NAMES: Final = ("data", "nodes", "arguments")
LONGEST: Final = 4_096
_DEEPEST: Final = 64
_ERROR: Final = "ERROR"
_INT_MAX: Final = 2**63
_WHOLE: Final = re.compile(r"\s*\{\{(((?!\}\}).)*)\}\}\s*", re.DOTALL)
_PART: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def evaluate(expression: str, scope: Scope) -> Any:
    """The value of an expression, as JSON would have it. Raises `NodeError` with `invalidExpression`."""
    known = {name: plain(scope.get(name, {})) for name in NAMES}
    try:
        value = _compiled(expression.strip()).eval(data=known)
        if value.type().name() != _ERROR:
            return plain(value.plain_value())
    except (RuntimeError, TypeError, ValueError) as error:
        raise _invalid(expression, str(error)) from None
    raise _invalid(expression, str(value.value()))


def is_true(expression: str, scope: Scope) -> bool:
    """The value of a condition. Raises `NodeError` with `invalidExpression` where it is neither true nor false."""
    value = evaluate(expression, scope)
    if not isinstance(value, bool):
        raise _invalid(expression, "a condition must be true or false")
    return value


def filled(value: Any, scope: Scope) -> Any:
    """A config with its expressions replaced by their values."""
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        if whole:
            return evaluate(whole[1], scope)
        return _PART.sub(lambda part: _text(evaluate(part[1], scope)), value)
    if isinstance(value, dict):
        return {name: filled(one, scope) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, scope) for one in value]
    return value


def plain(value: Any, depth: int = 0) -> Any:
    """A value as an expression and a database take it: decimals are floats, times are text, and no text holds NUL."""
    if depth > _DEEPEST:
        raise NodeError("invalidExpression", "A value is nested too deeply.")
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, Decimal) or (type(value) is int and not -_INT_MAX <= value < _INT_MAX):
        return float(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name).replace("\0", ""): plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, depth + 1) for one in value]
    return plain(msgspec.to_builtins(value), depth + 1)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@lru_cache(maxsize=1_024)
def _compiled(expression: str) -> Any:
    if len(expression) > LONGEST:
        raise _invalid(expression[:40], f"an expression has at most {LONGEST} characters")
    try:
        return _environment().compile(expression)
    except RuntimeError as error:
        raise _invalid(expression, str(error)) from None


@lru_cache(maxsize=1)
def _environment() -> Any:
    # Loaded when the first expression is met: whoever only reads the ledger needs none.
    from cel_expr_python import cel

    return cel.NewEnv(variables=dict.fromkeys(NAMES, cel.Type.DYN))


def _invalid(expression: str, why: str) -> NodeError:
    return NodeError("invalidExpression", f"{expression.strip()[:200]}: {why[:500]}")

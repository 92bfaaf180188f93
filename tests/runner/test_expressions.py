"""Expressions: what they can say, and what they can't do."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.runner.expressions import evaluate, filled, is_true, plain
from tallystick.runner.failures import NodeError

SCOPE: dict[str, Any] = {
    "data": {"country": "DE", "size": 11, "share": Decimal("0.5"), "tags": ["a", "b"], "many": list(range(300))},
    "nodes": {"lookup": {"status": 200, "body": {"name": "Lumen & Oak"}}},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("data.size + 1", 12),
        ('data.country == "DE" && data.size > 10', True),
        ("data.share > 0.4", True),
        ("data.size > 10.5", True),
        ("has(data.missing)", False),
        ("nodes.lookup.body.name", "Lumen & Oak"),
        ("data.tags.map(tag, tag + tag)", ["aa", "bb"]),
        ('data.tags.exists(tag, tag == "b")', True),
        ('{"name": nodes.lookup.body.name, "ok": nodes.lookup.status < 300}', {"name": "Lumen & Oak", "ok": True}),
        ("size(data.many)", 300),
        ('timestamp("2026-03-14T09:00:00Z")', "2026-03-14T09:00:00Z"),
    ],
)
def test_an_expression_reads_the_record_and_what_nodes_gave(expression: str, value: Any) -> None:
    assert evaluate(expression, SCOPE) == value


@pytest.mark.parametrize(
    "expression",
    [
        "data.missing == 1",
        "1 / 0",
        "9223372036854775807 + 1",
        "data.size +",
        "unknown",
        "data.__class__",
        "type(1)",
        "open('/etc/passwd')",
        "(" * 500 + "1" + ")" * 500,
        "data.many.all(a, data.many.all(b, data.many.all(c, a + b + c >= 0)))",
        "1 + " * 2_000 + "1",
    ],
)
def test_what_an_expression_may_not_do_fails_its_node_and_nothing_else(expression: str) -> None:
    with pytest.raises(NodeError) as caught:
        evaluate(expression, SCOPE)
    assert caught.value.code == "invalidExpression"
    assert not caught.value.again


def test_a_condition_is_true_or_false() -> None:
    assert is_true("data.size > 10", SCOPE)
    with pytest.raises(NodeError, match="true or false"):
        is_true("data.size", SCOPE)


def test_a_config_keeps_the_kind_of_a_whole_value_and_the_text_of_a_part() -> None:
    config = {
        "whole": "{{ data.tags }}",
        "part": "{{ data.country }}: {{data.size}} of {{ data.tags }}",
        "deep": [{"share": "{{ data.share }}"}],
        "two": "{{ data.size }}{{ data.size }}",
        "plain": "no braces",
        "number": 7,
    }
    assert filled(config, SCOPE) == {
        "whole": ["a", "b"],
        "part": 'DE: 11 of ["a","b"]',
        "deep": [{"share": 0.5}],
        "two": "1111",
        "plain": "no braces",
        "number": 7,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_whatever_a_record_holds_can_be_read(value: Any) -> None:
    read = evaluate("data.value", {"data": {"value": value}, "nodes": {}})
    assert read == plain(value) or read == pytest.approx(plain(value))
    assert "\0" not in repr(read)

"""What makes nodes a workflow: one root, children that are there, no circle."""

from itertools import pairwise
from uuid import UUID

import pytest

from tallystick.domain.runs.workflows import MOST_NODES, Node, check_graph
from tallystick.kernel.errors import TallystickError


def uuid(name: str) -> UUID:
    return UUID(int=int.from_bytes(name.encode(), "big"))


def graph(*edges: str) -> list[Node]:
    """Nodes from lines such as `a b c` (b and c follow a) and `a b !c` (c is its fallback)."""
    nodes = []
    for edge in edges:
        name, *following = edge.split()
        children = tuple(uuid(child) for child in following if child[0] != "!")
        fallback = next((uuid(child[1:]) for child in following if child[0] == "!"), None)
        nodes.append(Node(uuid(name), name, "native", None, children, fallback))
    return nodes


@pytest.mark.parametrize(
    "edges",
    [
        ("a",),
        ("a b", "b"),
        ("b", "a b"),
        ("a b c", "b d", "c d", "d"),
        ("a b !c", "b", "c"),
        ("a b !b", "b"),
        ("a b b", "b"),
        ("a !b", "b c", "c"),
    ],
)
def test_a_graph_with_one_root_is_a_workflow(edges: tuple[str, ...]) -> None:
    assert check_graph(graph(*edges)).slug == "a"


@pytest.mark.parametrize(
    ("edges", "code", "told"),
    [
        ((), "nodesNotFound", None),
        (("a b",), "nodesNotFound", str(uuid("b"))),
        (("a !b",), "nodesNotFound", str(uuid("b"))),
        (("a", "b"), "rootNodeNotFound", "b"),
        (("a b", "b", "c b"), "rootNodeNotFound", "c"),
        (("a b", "b a"), "rootNodeNotFound", None),
        (("a a",), "rootNodeNotFound", None),
        (("a b", "b c", "c b"), "invalidData", "b"),
        (("a b", "b !b"), "invalidData", "b"),
        (("a b", "b c", "c !b"), "invalidData", "c"),
        (("a b", "b", "b"), "invalidData", str(uuid("b"))),
    ],
)
def test_any_other_graph_is_refused_by_name(edges: tuple[str, ...], code: str, told: str | None) -> None:
    with pytest.raises(TallystickError) as refused:
        check_graph(graph(*edges))
    assert refused.value.code == code
    assert told is None or told in str(refused.value.details)


def test_two_nodes_with_one_slug_are_refused_since_outputs_go_by_it() -> None:
    with pytest.raises(TallystickError) as refused:
        check_graph([Node(uuid("a"), "same", "native", None, (uuid("b"),)), Node(uuid("b"), "same", "native")])
    assert refused.value.details == {"field": "slug", "value": "same"}


def test_a_long_chain_is_checked_without_recursion_and_a_longer_one_refused() -> None:
    names = [f"n{number}" for number in range(MOST_NODES + 1)]
    chain = [f"{name} {following}" for name, following in pairwise(names)]
    assert check_graph(graph(*chain[: MOST_NODES - 1], names[MOST_NODES - 1])).slug == "n0"
    with pytest.raises(TallystickError) as refused:
        check_graph(graph(*chain, names[-1]))
    assert refused.value.code == "invalidData"

"""What comes next in a run: by table, and for any graph."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.kernel.errors import TallystickError
from tallystick.runner.graph import Ended, Finished, Graph, leads_to
from tallystick.wire.orchestration import Node


def uuid(name: str) -> UUID:
    return UUID(int=int.from_bytes(name.encode()))


def node(name: str, *children: str, fallback: str | None = None, goes_on: bool = False, action: str = "set") -> Node:
    return Node(
        uuid=uuid(name),
        slug=name,
        kind="native",
        action_slug=action,
        children_uuids=[uuid(child) for child in children],
        fallback_on_failure=goes_on,
        fallback_child_uuid=None if fallback is None else uuid(fallback),
    )


def walk(nodes: list[Node], outcome: Callable[[Node], Finished]) -> tuple[str, str]:
    """The nodes that run, in order, and how the run ends."""
    graph, finished, path = Graph(nodes), {}, ""
    while isinstance(step := graph.next(finished), Node):
        path += step.slug
        finished[step.uuid] = outcome(step)
    return path, step.status + (f" at {step.failed.slug}" if step.failed else "")


LINE = [node("a", "b"), node("b", "c"), node("c")]
FORK = [node("a", "b", "c"), node("b", "d"), node("c", "d"), node("d")]
NET = [node("a", "b", fallback="z", goes_on=True), node("b"), node("z")]
WIDE = [node("a", "b", goes_on=True), node("b")]
CHOICE = [node("a", "b", "c", action="branch"), node("b", "d"), node("c"), node("d")]


@pytest.mark.parametrize(
    ("nodes", "ends", "path", "status"),
    [
        (LINE, "", "abc", "success"),
        (LINE, "b-", "ab", "error at b"),
        (LINE, "a?", "a", "skipped"),
        (LINE, "b?", "ab", "skipped"),
        (LINE, "c?", "abc", "skipped"),
        (FORK, "", "abcd", "success"),
        (FORK, "b?", "abcd", "success"),
        (FORK, "b? c?", "abc", "skipped"),
        (FORK, "b? d-", "abcd", "error at d"),
        (FORK, "b-", "ab", "error at b"),
        (NET, "", "ab", "success"),
        (NET, "a-", "az", "success"),
        (NET, "a- z-", "az", "error at z"),
        (NET, "b-", "ab", "error at b"),
        (NET, "a?", "a", "skipped"),
        (WIDE, "a-", "ab", "success"),
        (CHOICE, "a0", "abd", "success"),
        (CHOICE, "a1", "ac", "success"),
        (CHOICE, "a9", "a", "success"),
        ([node("b"), node("a", "b")], "", "ab", "success"),
        ([node("a"), node("b")], "a?", "ab", "success"),
    ],
)
def test_a_run_goes_the_way_that_its_nodes_lead(nodes: list[Node], ends: str, path: str, status: str) -> None:
    given = {text[0]: text[1] for text in ends.split()}

    def outcome(one: Node) -> Finished:
        sign = given.get(one.slug, "")
        if sign == "-":
            return Finished("error")
        if sign == "?":
            return Finished("skipped", {"passed": False})
        return Finished("success", {"child": int(sign)} if sign else None)

    assert walk(nodes, outcome) == (path, status)


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [node("a"), node("a")],
        [node("a", "nowhere")],
        [node("a", fallback="nowhere")],
        [node("a", "a")],
        [node("r", "a"), node("a", "b"), node("b", fallback="a", goes_on=True)],
    ],
)
def test_nodes_that_make_no_graph_are_refused(nodes: list[Node]) -> None:
    with pytest.raises(TallystickError) as caught:
        Graph(nodes)
    assert caught.value.code == "invalidWorkflow"


NAMES = "abcdefghij"


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Graphs without circles, their nodes written in any order."""
    count = draw(st.integers(1, len(NAMES)))
    nodes = []
    for place in range(count):
        later = NAMES[place + 1 : count]
        children = draw(st.lists(st.sampled_from(later), max_size=3, unique=True)) if later else []
        fallback = draw(st.sampled_from([None, *later]))
        action = draw(st.sampled_from(["set", "branch", "filter"]))
        nodes.append(node(NAMES[place], *children, fallback=fallback, goes_on=draw(st.booleans()), action=action))
    return draw(st.permutations(nodes))


outcomes = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from([Finished("success"), Finished("error"), Finished("skipped"), Finished("success", {"child": 1})]),
)


@given(graphs(), outcomes)
def test_every_node_runs_at_most_once_after_all_that_led_to_it(nodes: list[Node], given: dict[str, Finished]) -> None:
    graph, finished, order = Graph(nodes), {}, []
    while isinstance(step := graph.next(finished), Node):
        assert step.uuid not in finished
        finished[step.uuid] = given.get(step.slug, Finished("success"))
        order.append(step.uuid)
        assert len(order) <= len(nodes)
    by_uuid = {one.uuid: one for one in nodes}
    pointed = {child for one in nodes for child in [*one.children_uuids, one.fallback_child_uuid]}
    reached = {one.uuid for one in nodes} - pointed
    for place, at in enumerate(order):
        for child in leads_to(by_uuid[at], finished[at]):
            reached.add(child)
            assert child not in order[:place]
    assert set(order) <= reached
    failed = [at for at in order if finished[at].status == "error" and not by_uuid[at].fallback_on_failure]
    assert (step.status == "error") == bool(failed)
    if failed:
        assert order[-1:] == failed
        assert step.failed is by_uuid[failed[0]]
    else:
        assert set(order) == reached


@given(graphs(), outcomes, st.integers(0, 10))
def test_what_comes_next_depends_on_what_has_finished_alone(
    nodes: list[Node], given: dict[str, Finished], cut: int
) -> None:
    graph, finished = Graph(nodes), {}
    for _ in range(cut):
        step = graph.next(finished)
        if isinstance(step, Ended):
            break
        finished[step.uuid] = given.get(step.slug, Finished("success"))
    again = Graph(list(reversed(nodes))).next(dict(reversed(finished.items())))
    now = graph.next(finished)
    assert isinstance(now, Ended) == isinstance(again, Ended)
    if isinstance(now, Ended) and isinstance(again, Ended):
        assert now.status == again.status

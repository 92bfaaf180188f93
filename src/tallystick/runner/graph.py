"""What comes next in a run, given what has finished. Pure: the same executions always lead to the same next node.

Nodes run one at a time, parents before children, else in the order they are written in. A node with several parents
waits until each of them has finished or can no longer be reached, and runs once if any of them led to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from tallystick.kernel.errors import TallystickError
from tallystick.wire.orchestration import Node

BRANCH: Final = "branch"

NodeStatus = Literal["success", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a node ended. `skipped` ends its path: a filter let nothing through."""

    status: NodeStatus
    output: Any = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over; `failed` is the node that ended it in error, `last` the one whose output is the run's."""

    status: NodeStatus
    failed: Node | None = None
    last: Node | None = None


class Graph:
    """The nodes of a run, checked and put in an order in which parents come before children."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Raises `invalidWorkflow`: no node, two of one UUID or slug, an unknown child, or a circle."""
        if not nodes:
            raise _invalid("The workflow has no nodes.")
        self._nodes = {node.uuid: node for node in nodes}
        if len(self._nodes) < len(nodes) or len({node.slug for node in nodes}) < len(nodes):
            raise _invalid("Two nodes have the same uuid or slug.")
        pointed: set[UUID] = set()
        for node in nodes:
            for child in _children(node):
                if child not in self._nodes:
                    raise _invalid(f"Node {node.slug} leads to a node that is not there.", node=node.slug)
                pointed.add(child)
        self._roots = set(self._nodes) - pointed
        self._order = self._parents_first(nodes)

    def _parents_first(self, nodes: Sequence[Node]) -> list[Node]:
        waiting = {node.uuid: 0 for node in nodes}
        for node in nodes:
            for child in _children(node):
                waiting[child] += 1
        order: list[Node] = []
        left = list(nodes)
        while left:
            free = next((one for one in left if waiting[one.uuid] == 0), None)
            if free is None:
                raise _invalid("The nodes lead back to each other.", node=left[0].slug)
            left.remove(free)
            order.append(free)
            for child in _children(free):
                waiting[child] -= 1
        return order

    def next(self, finished: Mapping[UUID, Finished]) -> Node | Ended:
        """The node to run now, or how the run ended."""
        reached = set(self._roots)
        waiting: Node | None = None
        last: Node | None = None
        filtered = False
        arrived = False
        for node in self._order:
            if node.uuid not in reached:
                continue
            outcome = finished.get(node.uuid)
            if outcome is None:
                waiting = waiting or node
                continue
            if outcome.status == "error" and not node.fallback_on_failure:
                return Ended("error", failed=node, last=last)
            led_to = leads_to(node, outcome)
            reached.update(led_to)
            if outcome.status == "skipped":
                filtered = True
            else:
                last = node
                arrived = arrived or not led_to
        return waiting or Ended("skipped" if filtered and not arrived else "success", last=last)


def leads_to(node: Node, outcome: Finished) -> list[UUID]:
    """The nodes that a finished one goes on to."""
    if outcome.status == "skipped":
        return []
    if outcome.status == "error":
        if not node.fallback_on_failure:
            return []
        return list(node.children_uuids) if node.fallback_child_uuid is None else [node.fallback_child_uuid]
    chosen = chosen_child(node, outcome)
    if chosen is None:
        return list(node.children_uuids)
    return node.children_uuids[chosen : chosen + 1]


def chosen_child(node: Node, outcome: Finished) -> int | None:
    """Which child a branch goes on to; None where a node goes on to all of them."""
    if node.kind != "native" or node.action_slug != BRANCH or outcome.status != "success":
        return None
    child = outcome.output.get("child") if isinstance(outcome.output, dict) else None
    return child if isinstance(child, int) and child >= 0 else len(node.children_uuids)


def _children(node: Node) -> set[UUID]:
    fallback = {node.fallback_child_uuid} if node.fallback_child_uuid is not None else set()
    return {*node.children_uuids, *fallback}


def _invalid(message: str, **details: Any) -> TallystickError:
    return TallystickError("invalidWorkflow", message, **details)

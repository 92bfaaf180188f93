"""Workflows: the graph of nodes that a play or tool runs, and what makes it one (row A13).

A graph has one root, from which every node is reached; no node comes after itself. A node's fallback counts as a child.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from tallystick.kernel.errors import TallystickError

MOST_NODES: Final = 500
"""Nodes of one workflow, at most."""

KINDS: Final = ("tool", "play")
"""What a workflow may be a resource of: a tool is called, a play runs by itself. A new one is a tool."""


class Node(msgspec.Struct, frozen=True, rename="camel"):
    """What the rules ask of a node; the runner reads more."""

    uuid: UUID
    slug: str
    kind: str
    action_slug: str | None = None
    children_uuids: tuple[UUID, ...] = ()
    fallback_child_uuid: UUID | None = None

    @property
    def next_uuids(self) -> tuple[UUID, ...]:
        """Every node that may come right after this one."""
        fallback = self.fallback_child_uuid
        return self.children_uuids if fallback is None else (*self.children_uuids, fallback)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A play or tool with its newest release. `nodes` is the graph as JSON text."""

    workspace_id: UUID
    id: UUID
    kind: str
    name: str
    is_enabled: bool
    concurrency_limit: int | None
    release_id: UUID
    version: int
    max_steps: int | None
    nodes: str
    created_at: dt.datetime
    updated_at: dt.datetime


_DECODER: Final = msgspec.json.Decoder(list[Node])


def read_nodes(text: str | bytes) -> list[Node]:
    """The nodes of a graph from JSON that was checked when it arrived."""
    return _DECODER.decode(text)


def check_graph(nodes: Sequence[Node]) -> Node:
    """The root of the graph.

    Raises `nodesNotFound` where there are no nodes or one names another that is not there, `rootNodeNotFound` where
    none or several have no parent, and `invalidData` for two nodes with one uuid or slug, too many, or a circle.
    """
    if not nodes:
        raise TallystickError("nodesNotFound", "The workflow has no nodes.")
    if len(nodes) > MOST_NODES:
        raise TallystickError(
            "invalidData", f"A workflow has at most {MOST_NODES} nodes.", field="nodes", limit=MOST_NODES
        )
    by_id = {node.uuid: node for node in nodes}
    _check_unique("uuid", (str(node.uuid) for node in nodes))
    _check_unique("slug", (node.slug for node in nodes))
    named = {child: node for node in nodes for child in node.next_uuids}
    missing = sorted(str(child) for child in named if child not in by_id)
    if missing:
        raise TallystickError("nodesNotFound", "Nodes name others that are not there.", missing=missing[:10])
    roots = [node for node in nodes if node.uuid not in named]
    if len(roots) != 1:
        raise TallystickError(
            "rootNodeNotFound",
            "One node has to come first: exactly one that is nobody's child or fallback.",
            roots=[node.slug for node in roots[:10]],
        )
    _check_no_circle(nodes, by_id)
    return roots[0]


def _check_unique(field: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise TallystickError("invalidData", f"Two nodes have the same {field}.", field=field, value=value)
        seen.add(value)


def _check_no_circle(nodes: Sequence[Node], by_id: Mapping[UUID, Node]) -> None:
    """Take away, again and again, what nothing left comes before; a circle is what stays."""
    parents = {node.uuid: 0 for node in nodes}
    for node in nodes:
        for child in set(node.next_uuids):
            parents[child] += 1
    free = [node.uuid for node in nodes if not parents[node.uuid]]
    while free:
        node = by_id[free.pop()]
        del parents[node.uuid]
        for child in set(node.next_uuids):
            parents[child] -= 1
            if not parents[child]:
                free.append(child)
    if parents:
        slugs = sorted(by_id[uuid].slug for uuid in parents)
        raise TallystickError("invalidData", "Nodes follow each other in a circle.", field="nodes", nodes=slugs[:10])

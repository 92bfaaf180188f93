"""Corrections that share a commit with what they correct, in any order: nothing is taken back twice or for nothing."""

import datetime as dt
import itertools
from typing import Any
from uuid import UUID

import pytest

from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make
from tests.make import Meter

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)


@pytest.fixture
async def meter(database: Database) -> Meter:
    await make.catalog(database, T0 - dt.timedelta(days=400))
    return Meter(database)


@pytest.fixture
async def workspace(meter: Meter) -> UUID:
    workspace_id = await make.bare_workspace(meter.database, T0)
    await make.grant(meter.database, workspace_id, 100, T0)
    return workspace_id


def charge(number: str, amount: int, replaces: str | None = None) -> dict[str, Any]:
    corrects = {} if replaces is None else {"replaces": {"source": "test", "id": replaces}}
    return {"type": "direct.charge", "id": number, "quantity": amount, **corrects}


async def book(meter: Meter, workspace_id: UUID, *reports: dict[str, Any] | tuple[str, str]) -> list[str]:
    """Reports in one commit; a pair is a cancellation's own id and that of its target."""
    items = [
        Item(
            workspace_id,
            make.cancellation(*(report[0], "test", report[1]), workspace_id, T0)
            if isinstance(report, tuple)
            else make.event_of(report, workspace_id, T0),
        )
        for report in reports
    ]
    batch = Batch(items, T0)
    await meter.book(batch)
    return [outcome.error.code if outcome.error else outcome.kind for outcome in batch.outcomes if outcome]


async def posted(meter: Meter, workspace_id: UUID) -> int:
    """Whole credits, after a look at everything below."""
    assert await make.differences(meter.database, workspace_id) == []
    [row] = await make.rows(
        meter.database, "SELECT posted FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace_id
    )
    return int(row["posted"]) // NANO


@pytest.mark.parametrize("order", list(itertools.permutations(["e1", "e2", "c1"])))
async def test_a_second_cancellation_is_a_duplicate_wherever_the_first_stood(
    meter: Meter, workspace: UUID, order: tuple[str, ...]
) -> None:
    known: dict[str, Any] = {"e1": charge("e1", 5), "e2": charge("e2", 7), "c1": ("c1", "e1")}
    assert await book(meter, workspace, *(known[name] for name in order)) == ["accepted"] * 3
    assert await book(meter, workspace, ("c2", "e1")) == ["duplicate"]
    assert await book(meter, workspace, ("c3", "e2")) == ["accepted"]
    assert await posted(meter, workspace) == 100


@pytest.mark.parametrize("order", list(itertools.permutations(["r0", "e1", "c1"])))
async def test_a_reversal_names_the_event_it_takes_back(meter: Meter, workspace: UUID, order: tuple[str, ...]) -> None:
    await book(meter, workspace, charge("e0", 3))
    known: dict[str, Any] = {"r0": charge("r0", 4, "e0"), "e1": charge("e1", 5), "c1": ("c1", "e1")}
    assert await book(meter, workspace, *(known[name] for name in order)) == ["accepted"] * 3
    found = await make.rows(
        meter.database,
        "SELECT r.source_id AS by, o.source_id AS of FROM usage_event AS r JOIN usage_event AS o"
        " ON o.workspace_id = r.workspace_id AND o.id = r.reverses WHERE r.workspace_id = %s ORDER BY r.source_id",
        workspace,
    )
    assert [(row["by"], row["of"]) for row in found] == [("c1", "e1"), ("r0", "e0")]
    assert await posted(meter, workspace) == 96


@pytest.mark.parametrize("order", list(itertools.permutations(["r1", "r2", "r3"])))
async def test_a_chain_of_replacements_in_one_commit_leaves_the_last(
    meter: Meter, workspace: UUID, order: tuple[str, ...]
) -> None:
    await book(meter, workspace, charge("e0", 3))
    known = {"r1": charge("r1", 10, "e0"), "r2": charge("r2", 20, "r1"), "r3": charge("r3", 30, "r2")}
    assert await book(meter, workspace, *(known[name] for name in order)) == ["accepted"] * 3
    assert await posted(meter, workspace) == 70


@pytest.mark.parametrize("order", list(itertools.permutations(["r2", "r3", "c4"])))
async def test_what_corrects_a_refused_correction_is_refused_too(
    meter: Meter, workspace: UUID, order: tuple[str, ...]
) -> None:
    await book(meter, workspace, charge("e0", 3), charge("r1", 4, "e0"))
    known: dict[str, Any] = {"r2": charge("r2", 20, "e0"), "r3": charge("r3", 30, "r2"), "c4": ("c4", "r3")}
    outcomes = await book(meter, workspace, *(known[name] for name in order))
    assert dict(zip(order, outcomes, strict=True)) == {
        "r2": "alreadyCorrected",
        "r3": "eventNotFound",
        "c4": "eventNotFound",
    }
    assert await posted(meter, workspace) == 96


async def test_events_that_replace_each_other_or_themselves_are_refused(meter: Meter, workspace: UUID) -> None:
    outcomes = await book(meter, workspace, charge("a", 5, "b"), charge("b", 6, "a"), charge("c", 7, "c"))
    assert outcomes == ["eventNotFound"] * 3
    assert await posted(meter, workspace) == 100


async def test_a_correction_of_a_duplicate_takes_back_what_was_booked_once(meter: Meter, workspace: UUID) -> None:
    await book(meter, workspace, charge("e1", 5))
    assert await book(meter, workspace, ("c1", "e1"), charge("e1", 5), ("c1", "e1")) == [
        "accepted",
        "duplicate",
        "duplicate",
    ]
    assert await posted(meter, workspace) == 100

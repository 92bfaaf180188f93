"""Reports equal an oracle that adds up the raw events, for every pair of dimensions."""

import datetime as dt
from collections import defaultdict
from itertools import combinations
from random import Random
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.metering.metrics import GROUPS, Range
from tallystick.domain.metering.reports import DIMENSIONS, Line, ReportFilters, Sums, parse_dimensions
from tallystick.domain.metering.resources import resource_id
from tallystick.flows import resources
from tallystick.flows.resources import Change
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import reports
from tallystick.store.database import Database
from tests import make
from tests.queries.test_usage import NOW, WEEK
from tests.queries.test_usage import reports as week_of_reports

COLUMNS = {
    "workflow_uuid": "workflow_id",
    "connector_uuid": "connector_id",
    "model_uuid": "table_id",
    "agent_uuid": "agent_id",
    "user_uuid": "user_id",
    "integration_slug": "integration",
    "language_model": "language_model",
    "category": "category",
    "project_uuid": "project_id",
    "tool_uuid": "tool_id",
    "slug": "slug",
    "type": "meter",
    "status": "status",
}


@pytest.fixture(scope="module")
async def workspace(database: Database) -> UUID:
    await make.catalog(database, NOW)
    workspace_id = await make.bare_workspace(database, NOW - dt.timedelta(days=30), plan="pro")
    chance = Random(11)
    week = [
        report
        | {"project": chance.choice(["inbound", "review"])}
        | ({"tool": "search"} if chance.random() < 0.3 else {})
        for report in week_of_reports(Random(9))
    ]
    outcomes = await make.Meter(database).report(workspace_id, *week, now=NOW)
    assert {outcome.kind for outcome in outcomes} == {"accepted"}
    return workspace_id


async def oracle(
    database: Database, workspace_id: UUID, dimensions: tuple[str, ...], daily: bool, **filters: Any
) -> dict[tuple[Any, ...], Sums]:
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 8)
    for row in await make.rows(database, "SELECT * FROM usage_event WHERE workspace_id = %s", workspace_id):
        if any(row[name] != value for name, value in filters.items()):
            continue
        members = [row[COLUMNS[name]] for name in dimensions]
        place = (row["used_at"].date() if daily else None, *(None if m is None else str(m) for m in members))
        measures = (
            1,
            int(row["quantity"] * NANO),
            row["tokens_in"],
            row["tokens_out"],
            row["credits"],
            row["tool_runs"],
            row["provider_cost"] or 0,
            int(row["state"] == "unpriced"),
        )
        sums[place] = [a + b for a, b in zip(sums[place], measures, strict=True)]
    return {place: Sums(*values) for place, values in sums.items()}


def by_place(lines: tuple[Line, ...]) -> dict[tuple[Any, ...], Sums]:
    return {(line.day, *line.members): line.sums for line in lines}


PAIRS = [(), *((name,) for name in DIMENSIONS), *combinations(DIMENSIONS, 2)]


@pytest.mark.parametrize("daily", [True, False])
async def test_every_pair_of_dimensions_equals_the_raw_events(database: Database, workspace: UUID, daily: bool) -> None:
    assert set(COLUMNS) == set(DIMENSIONS) >= set(GROUPS)
    for dimensions in PAIRS:
        found = await reports.report(database, workspace, WEEK, dimensions=dimensions, daily=daily)
        expected = await oracle(database, workspace, dimensions, daily)
        assert by_place(found.lines) == expected, dimensions
        assert found.totals == Sums(*(sum(column) for column in zip(*expected.values(), strict=True)))
        assert len(expected) > 1 or not (daily or dimensions)


@pytest.mark.parametrize(
    ("column", "kind", "key"),
    [
        ("workflow_id", "play", "routing"),
        ("table_id", "table", "accounts"),
        ("connector_id", "connector", "paid"),
        ("agent_id", "agent", "scout"),
        ("user_id", "user", "ada"),
        ("project_id", "project", "inbound"),
        ("tool_id", "tool", "search"),
        ("integration", None, "crm"),
        ("language_model", None, "gpt-4o-mini"),
        ("category", None, "storage"),
        ("slug", None, "native.execution"),
    ],
)
async def test_every_filter_narrows(
    database: Database, workspace: UUID, column: str, kind: str | None, key: str
) -> None:
    value = key if kind is None else resource_id(workspace, kind, key)
    narrowed = ReportFilters(**{column: value})
    found = await reports.report(database, workspace, WEEK, dimensions=("category",), filters=narrowed)
    expected = await oracle(database, workspace, ("category",), True, **{column: value})
    assert by_place(found.lines) == expected
    assert 0 < found.totals.events < 300


async def test_lines_stand_in_order_and_carry_last_names(database: Database, workspace: UUID) -> None:
    change = Change("The scout", deleted=True)
    await resources.put(database, "agent", "scout", change, workspace_id=workspace, now=NOW)
    found = await reports.report(database, workspace, WEEK, dimensions=("category", "agent_uuid"))
    scout = str(resource_id(workspace, "agent", "scout"))
    assert found.names[scout] == "The scout"
    places = [(line.day, line.members[0], line.members[1] is None, line.members[1] or "") for line in found.lines]
    assert places == sorted(places)  # type: ignore[type-var]


async def test_a_workspace_without_usage_has_an_empty_report(database: Database) -> None:
    stranger = await make.bare_workspace(database, NOW)
    found = await reports.report(database, stranger, Range(NOW.date(), NOW.date()), dimensions=("category",))
    assert (found.totals, found.lines, found.names) == (Sums(), (), {})


@pytest.mark.parametrize("asked", [["colour"], ["category", "category"], ["category", "slug", "type"]])
def test_a_wrong_grouping_is_refused_by_name(asked: list[str]) -> None:
    with pytest.raises(TallystickError) as refused:
        parse_dimensions(asked)
    assert refused.value.code == "invalidGroupBy"

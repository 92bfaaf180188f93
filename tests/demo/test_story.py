"""The demo told through the real flows: once, whole, and in the words of its own events."""

import asyncio
import datetime as dt
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psycopg
import pytest

from tallystick.demo import cast, credentials, deployed, story
from tallystick.demo.calendar import DAYS
from tallystick.demo.generator import SEED, events
from tallystick.demo.run import reachable
from tallystick.demo.story import Beginning
from tallystick.domain.deployments.tabs import parse_span
from tallystick.domain.metering.events import RUNNING_SOURCE
from tallystick.domain.metering.metrics import Range
from tallystick.flows import collecting
from tallystick.kernel.clock import FrozenClock
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import balances, discovery, invoices, subscriptions, tabs, usage
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tests.make import differences, rows

END = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)


@contextmanager
def empty_database(server_url: str, name: str) -> Iterator[str]:
    """A database of its own: the demo sets prices for everybody on its server."""
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
async def runtime(server_url: str) -> AsyncIterator[Runtime]:
    with empty_database(server_url, f"tally_demo_{os.getpid()}") as url:
        opened = await Runtime.open(Settings(database_url=url), clock=FrozenClock(END))
        yield opened
        await opened.close()


class KilledError(Exception):
    """Stands in for the end of the process."""


@pytest.fixture(scope="module")
async def told(runtime: Runtime) -> Beginning:
    """The whole story, cut short in its middle and taken up an hour later."""

    def kill(events_booked: int) -> None:
        if events_booked > 6_000:
            raise KilledError

    with pytest.raises(KilledError):
        await story.tell(runtime, END, kill)
    return await story.tell(runtime, END + dt.timedelta(hours=1))


async def test_a_story_that_was_cut_short_keeps_its_end_and_books_nothing_twice(
    runtime: Runtime, told: Beginning
) -> None:
    assert told.end == END
    expected = {report.event["id"]: report.event["data"] for report in events(SEED, END - dt.timedelta(days=DAYS), END)}
    stored = await rows(
        runtime.database,
        "SELECT source_id, data FROM usage_event WHERE workspace_id = %s AND reverses IS NULL AND source <> %s",
        told.workspace_id,
        RUNNING_SOURCE,
    )
    assert len(stored) == len(expected)
    assert {row["source_id"]: row["data"] for row in stored} == expected


async def test_a_second_start_changes_nothing(runtime: Runtime, told: Beginning) -> None:
    counts = "SELECT (SELECT count(*) FROM usage_event) AS e, (SELECT count(*) FROM audit_entry) AS a"
    before = await rows(runtime.database, counts)
    assert await story.tell(runtime, END + dt.timedelta(days=3)) == told
    assert await rows(runtime.database, counts) == before


async def test_the_current_period_is_between_60_and_70_percent_used(runtime: Runtime, told: Beginning) -> None:
    money, runs = await balances.balances(runtime.database, told.workspace_id)
    assert money.granted == 10_000 * NANO
    assert 6_000 <= money.used_hundredths <= 7_000
    assert runs.state == "healthy"
    found = await subscriptions.subscription(runtime.database, told.workspace_id)
    assert (found.plan, found.status, END in found.period) == ("pro", "active", True)
    assert (found.counts.available, found.counts.used) == (10_000 * NANO, money.used)


async def test_every_past_period_has_an_invoice_that_is_paid(runtime: Runtime, told: Beginning) -> None:
    found = await invoices.invoices(runtime.database, told.workspace_id)
    assert len(found) == story.PERIODS_BEFORE
    for one in found:
        assert one.buyer is not None
        assert (one.status, one.total_minor, one.paid_minor, one.next_at) == ("paid", 9_900, 9_900, None)
        assert one.period_end is not None and one.issued_at is not None and one.paid_at is not None
        assert one.period_end < one.issued_at < one.paid_at < told.end
        assert (one.buyer.name, one.buyer.reference) == ("Lumen & Oak, Inc.", "LO-2204")
    assert [one.number for one in found] == ["INV-000003", "INV-000002", "INV-000001"]
    # What was used and known by then is on them, once; what was reported later goes on the next one.
    listed = await rows(
        runtime.database, "SELECT sum(credits) AS n FROM invoice_usage WHERE workspace_id = %s", told.workspace_id
    )
    used = await rows(
        runtime.database,
        "SELECT sum(credits) AS n FROM usage_event WHERE workspace_id = %s AND used_at < %s AND id <= %s",
        told.workspace_id,
        found[0].period_end,
        found[0].charged_through,
    )
    assert listed[0]["n"] == used[0]["n"] > 0
    await collecting.turn(runtime.database, runtime.billing, None, now=END, ids=runtime.ids)
    assert await invoices.invoices(runtime.database, told.workspace_id) == found


async def test_no_past_period_ran_out(runtime: Runtime, told: Beginning) -> None:
    resets = await rows(
        runtime.database,
        "SELECT t.effective_at, e.amount FROM ledger_transaction t JOIN ledger_entry e"
        " ON e.workspace_id = t.workspace_id AND e.unit = t.unit AND e.seq = t.seq AND e.account = 'expired'"
        " WHERE t.workspace_id = %s AND t.unit = 'credits' AND t.kind = 'reset'",
        told.workspace_id,
    )
    assert len(resets) == story.PERIODS_BEFORE
    assert all(row["amount"] > 500 * NANO for row in resets)
    [overdrawn] = await rows(
        runtime.database,
        "SELECT count(*) AS n FROM usage_event WHERE workspace_id = %s AND overdrawn",
        told.workspace_id,
    )
    assert overdrawn["n"] == 0


async def test_metrics_of_the_ninety_days_equal_the_events(runtime: Runtime, told: Beginning) -> None:
    days = Range((END - dt.timedelta(days=DAYS)).date(), END.date())
    for group_by, column in (("workflow_uuid", "workflow_id"), ("language_model", "language_model")):
        expected: dict[Any, int] = defaultdict(int)
        stored = await rows(
            runtime.database,
            "SELECT used_at, slug, workflow_id, language_model, credits FROM usage_event WHERE workspace_id = %s",
            told.workspace_id,
        )
        for row in stored:
            group = None if row[column] is None else str(row[column])
            expected[row["used_at"].date(), row["slug"], group] += row["credits"]
        found = await usage.metrics(
            runtime.database, told.workspace_id, days, group_by=group_by, unit="billing.credits"
        )
        assert {(day, item.slug, item.group): item.amount for day, items in found.days for item in items} == expected
        assert found.total == sum(expected.values()) > 10_000 * NANO


@pytest.mark.parametrize(
    ("group_by", "kinds"),
    [
        ("workflow_uuid", ("play", "tool")),
        ("connector_uuid", ("connector",)),
        ("agent_uuid", ("agent",)),
        ("model_uuid", ("table",)),
        ("user_uuid", ("user",)),
    ],
)
async def test_usage_is_attributed_to_what_the_lists_name_and_to_all_of_it(
    runtime: Runtime, told: Beginning, group_by: str, kinds: tuple[str, ...]
) -> None:
    days = Range((END - dt.timedelta(days=DAYS)).date(), END.date())
    found = await usage.metrics(runtime.database, told.workspace_id, days, group_by=group_by)
    listed = await discovery.resources(runtime.database, told.workspace_id, *kinds)
    seen = {item.group for _, items in found.days for item in items}
    assert seen == {str(resource.id) for resource in listed} | {None}
    assert all(resource.name != resource.key for resource in listed)


async def test_every_category_and_every_state_can_be_seen(runtime: Runtime, told: Beginning) -> None:
    found = await rows(
        runtime.database,
        "SELECT category, state, count(*) AS n, sum(credits)::bigint AS credits FROM usage_event"
        " WHERE workspace_id = %s GROUP BY 1, 2",
        told.workspace_id,
    )
    seen = {(row["category"], row["state"]): (row["n"], row["credits"]) for row in found}
    charged = ("llm", "tool_calls", "storage", "execution", "hosting", "guardrail", "script", "fine_tuning")
    assert all(seen[category, "priced"][1] > 0 for category in charged)
    assert seen["other", "priced"][0] > 100
    assert seen["llm", "unpriced"][0] > 50
    assert seen["llm", "unpriced"][1] == 0
    assert seen["llm", "waived"][0] > 100
    assert seen["tool_calls", "waived"][0] > 100
    [unpriced] = await rows(
        runtime.database,
        "SELECT array_agg(DISTINCT language_model) AS models FROM usage_event"
        " WHERE workspace_id = %s AND state = 'unpriced'",
        told.workspace_id,
    )
    assert unpriced["models"] == [cast.UNPRICED.name]


async def test_something_is_deployed_and_its_time_is_charged_to_the_second(runtime: Runtime, told: Beginning) -> None:
    span = parse_span("90d", None, None, now=END, days_max=366)
    for kind, status, hours in (("script", "Deployed", 2_100), ("guardrail", "Deployed", 2_000)):
        tab = await tabs.timed(runtime.database, told.workspace_id, kind, span)
        [row] = tab.rows
        assert (row.status, row.resource.name != row.resource.key, tab.sums.unattributed) == (status, True, 0)
        assert row.microseconds > hours * 3_600 * 10**6
        assert row.credits == tab.sums.credits
    models = await tabs.models(runtime.database, told.workspace_id, span, of=deployed.MODEL)
    assert models.panel is not None
    [evaluation] = models.panel.rows
    own = next(row for row in models.rows if row.resource.key == deployed.MODEL)
    assert (own.type, own.hosting, evaluation.status) == ("Fine-tuned", evaluation.credits, "Undeployed")
    assert own.fine_tuning == models.sums.fine_tuning == 69 * NANO
    assert 200 * NANO < own.hosting < 700 * NANO
    tools = await tabs.tools(runtime.database, told.workspace_id, span)
    assert {row.resource.key for row in tools.rows} == {tool.key for tool in cast.TOOLS}
    assert all(row.status == "Deployed" and row.runs for row in tools.rows)
    [count] = await rows(
        runtime.database, "SELECT count(*) AS n FROM usage_event WHERE workspace_id = %s", told.workspace_id
    )
    assert 60_000 <= count["n"] <= 120_000


async def test_verify_finds_nothing(runtime: Runtime, told: Beginning) -> None:
    assert await differences(runtime.database, told.workspace_id, told.sandbox_id) == []


async def test_the_wrong_event_is_taken_back_on_the_day_of_its_use(runtime: Runtime, told: Beginning) -> None:
    pair = await rows(
        runtime.database,
        "SELECT e.credits, e.used_at, r.credits AS back, r.used_at AS back_at, r.source_id FROM usage_event e"
        " JOIN usage_event r ON r.workspace_id = e.workspace_id AND r.reverses = e.id WHERE e.workspace_id = %s",
        told.workspace_id,
    )
    assert [(row["credits"] + row["back"], row["used_at"] == row["back_at"]) for row in pair] == [(0, True)]


async def test_the_sandbox_is_out_of_tool_runs(runtime: Runtime, told: Beginning) -> None:
    money, runs = await balances.balances(runtime.database, told.sandbox_id)
    assert money.state in ("healthy", "moderate")
    assert (runs.state, runs.granted, runs.posted) == ("exhausted", 300 * NANO, -20 * NANO)


async def test_the_file_is_private_true_and_kept(runtime: Runtime, told: Beginning, tmp_path: Path) -> None:
    home = tmp_path / "not" / "there"
    first = await credentials.write(runtime, home, "http://127.0.0.1:1", told.workspace_id)
    path = home / "demo.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert msgspec.json.decode(path.read_bytes()) == {
        "baseUrl": "http://127.0.0.1:1",
        "workspaceUuid": str(told.workspace_id),
        "operatorToken": first.operator_token,
        "adminToken": first.admin_token,
        "memberToken": first.member_token,
        "dashboardUrl": "http://127.0.0.1:1/",
    }
    assert [entry.name for entry in home.iterdir()] == ["demo.json"]
    roles = [await role(runtime, token) for token in (first.operator_token, first.admin_token, first.member_token)]
    assert roles == ["operator", "admin", "member"]
    # Another port, the same tokens.
    again = await credentials.write(runtime, home, "http://127.0.0.1:2", told.workspace_id)
    assert again == msgspec.structs.replace(first, base_url="http://127.0.0.1:2", dashboard_url="http://127.0.0.1:2/")


@pytest.mark.parametrize("harm", ["missing", "broken", "foreign"])
async def test_a_lost_file_gets_new_tokens_and_revokes_the_old(
    runtime: Runtime, told: Beginning, tmp_path: Path, harm: str
) -> None:
    first = await credentials.write(runtime, tmp_path, "http://127.0.0.1:1", told.workspace_id)
    path = tmp_path / "demo.json"
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(
            b"{" if harm == "broken" else path.read_bytes().replace(first.admin_token.encode(), b"tally_x")
        )
    second = await credentials.write(runtime, tmp_path, "http://127.0.0.1:1", told.workspace_id)
    for name in ("operator_token", "admin_token", "member_token"):
        assert getattr(first, name) != getattr(second, name)
        assert await role(runtime, getattr(second, name)) is not None
        with pytest.raises(TallystickError):
            await role(runtime, getattr(first, name))


async def role(runtime: Runtime, token: str) -> str | None:
    principal = await runtime.authenticator.principal(token, END)
    return "operator" if principal.is_operator else principal.role


def test_an_address_that_means_everywhere_is_told_as_one_that_can_be_reached() -> None:
    assert reachable("http://0.0.0.0:8787") == "http://127.0.0.1:8787"
    assert reachable("http://[::]:8787") == "http://[::1]:8787"
    assert reachable("http://127.0.0.1:8787") == "http://127.0.0.1:8787"


async def start(home: Path, database_url: str | None) -> asyncio.subprocess.Process:
    """`tally demo` as a person starts it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tallystick", "demo", "--home", str(home), "--port", "0"),
        env=environ | {"TALLY_DATABASE_URL": str(database_url)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def stop(process: asyncio.subprocess.Process) -> tuple[int | None, bytes]:
    """How it ended on SIGTERM, and what it printed."""
    process.send_signal(signal.SIGTERM)
    printed, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, printed


async def until_written(path: Path) -> dict[str, str]:
    for _ in range(600):
        if path.exists():
            found: dict[str, str] = json.loads(path.read_bytes())
            return found
        await asyncio.sleep(0.05)
    raise TimeoutError(path)


async def test_the_command_serves_what_the_file_says_and_ends_cleanly(
    runtime: Runtime, told: Beginning, tmp_path: Path
) -> None:
    process = await start(tmp_path, runtime.settings.database_url)
    written = await until_written(tmp_path / "demo.json")
    day = (END - dt.timedelta(days=1)).date().isoformat()
    async with httpx2.AsyncClient(base_url=written["baseUrl"]) as http:
        for token, status in ((written["adminToken"], 200), (written["memberToken"], 403)):
            answer = await http.get(
                "/v1/billing/usage/metrics",
                params={"from": day, "to": day},
                headers={"authorization": f"Bearer {token}"},
            )
            assert answer.status_code == status
            if status == 200:
                assert answer.json()["totalUsage"] > 100
        owner = {"authorization": f"Bearer {written['adminToken']}"}
        listed = (await http.get("/v1/billing/subscriptions/invoices", headers=owner)).json()["invoices"]
        assert {one["pdfUrl"].startswith(f"{written['baseUrl']}/v1/") for one in listed} == {True}
    code, printed = await stop(process)
    assert code == 0
    assert json.loads(printed) == written
    # Started again: another port, the same tokens.
    process = await start(tmp_path, runtime.settings.database_url)
    assert process.stdout is not None
    await process.stdout.readuntil(b"}")
    again = json.loads((tmp_path / "demo.json").read_bytes())
    assert (await stop(process))[0] == 0
    changed = {name for name in written if written[name] != again[name]}
    assert changed <= {"baseUrl", "dashboardUrl"}


async def test_a_signal_during_the_first_load_ends_it_and_writes_no_file(server_url: str, tmp_path: Path) -> None:
    with empty_database(server_url, f"tally_demo_cut_{os.getpid()}") as url:
        process = await start(tmp_path, url)
        with psycopg.connect(url, autocommit=True) as conn:
            for _ in range(600):
                there = conn.execute("SELECT to_regclass('usage_event')").fetchone()
                if there and there[0] and conn.execute("SELECT 1 FROM usage_event LIMIT 1").fetchone():
                    break
                await asyncio.sleep(0.05)
        assert await stop(process) == (0, b"")
    assert list(tmp_path.iterdir()) == []

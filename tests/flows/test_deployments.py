"""Deployments through the flows, on real PostgreSQL: gated, charged exactly, told once, whoever asks at once."""

import asyncio
import datetime as dt
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.credits.limits import Limits, OwnLimits
from tallystick.domain.deployments.deployment import TRANSITIONS, Deployment
from tallystick.domain.deployments.details import Details
from tallystick.domain.deployments.profiles import SHIPPED, HardwareProfile
from tallystick.domain.identity.requests import RequestKey
from tallystick.flows import deployments, due, prices, profiles, resources
from tallystick.flows.budgets import Author
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.deployments import Desk, NewDeployment
from tallystick.flows.limits import ship_default
from tallystick.flows.profiles import Operator
from tallystick.kernel.credits import NANO, divide_half_even, parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.queries import deployments as queries
from tallystick.store import limits
from tallystick.store.database import Connection, Database
from tests import make
from tests.flows.test_running_survives import DiedError, dying_at
from tests.make import IDS, Meter

T0 = dt.datetime(2026, 3, 14, 9, 41, 7, 250_001, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
SCRIPT = NewDeployment("script", "enrich", profile="script-1x2")
HOURLY = parse_credits("0.07698")


class Yard:
    """One workspace in which things are deployed."""

    def __init__(self, database: Database, workspace_id: UUID) -> None:
        self.database = database
        self.id = workspace_id
        self.desk = Desk(database, CatalogCache())

    def author(self, now: dt.datetime = T0, key: str | None = None, asked: bytes = b"x", route: str = "r") -> Author:
        request = RequestKey(self.id, route, key, asked) if key else None
        return Author(self.id, "test", request, now, IDS)

    async def create(self, new: NewDeployment = SCRIPT, now: dt.datetime = T0, **more: Any) -> Deployment:
        return await deployments.create(self.desk, replace(new, **more), self.author(now))

    async def running(self, now: dt.datetime = T0, **more: Any) -> Deployment:
        """One that is Deployed since `now`."""
        made = await self.create(now=now, **more)
        return await deployments.succeed(self.desk, made.id, self.author(now), endpoint="https://x.example/run")

    async def charged(self, deployment: Deployment) -> tuple[int, int]:
        """Microseconds of replicas, and nano-credits, by the totals; they are those of the events."""
        rows = await make.rows(
            self.database,
            "SELECT coalesce(sum(microseconds), 0)::bigint AS time, coalesce(sum(credits), 0)::bigint AS credits"
            " FROM deployment_day WHERE workspace_id = %s AND deployment_id = %s",
            self.id,
            deployment.id,
        )
        events = await make.rows(
            self.database,
            "SELECT coalesce(sum(quantity * 1000000), 0)::bigint AS time, coalesce(sum(credits), 0)::bigint AS credits"
            " FROM usage_event WHERE workspace_id = %s AND source = 'tallystick/deployments'"
            " AND starts_with(source_id, %s)",
            self.id,
            str(deployment.id),
        )
        assert rows == events
        return rows[0]["time"], rows[0]["credits"]

    async def facts(self) -> list[tuple[str, dict[str, Any]]]:
        rows = await make.rows(
            self.database,
            "SELECT kind, data FROM fact WHERE workspace_id = %s AND starts_with(kind, 'deployment.') ORDER BY at",
            self.id,
        )
        return [(row["kind"], row["data"]) for row in rows]

    async def actions(self) -> list[str]:
        rows = await make.rows(
            self.database,
            "SELECT action FROM audit_entry WHERE workspace_id = %s AND starts_with(action, 'deployment.') ORDER BY id",
            self.id,
        )
        return sorted(row["action"] for row in rows)

    async def spend(self, amount: str, now: dt.datetime = T0) -> None:
        report = {"type": "direct.charge", "id": str(IDS.new(now)), "quantity": amount}
        assert [one.kind for one in await Meter(self.database).report(self.id, report, now=now)] == ["accepted"]


def exactly(time: int, hourly: int = HOURLY) -> int:
    """What so many microseconds of replicas cost: rounded once (rule M3)."""
    return divide_half_even(hourly * time, 3_600 * 10**6)


async def refused(asked: Awaitable[object]) -> TallystickError:
    with pytest.raises(TallystickError) as error:
        await asked
    return error.value


@pytest.fixture(scope="module")
async def shop(database: Database) -> Database:
    """What ships: prices and hardware."""
    await prices.ship_catalog(database, T0 - 400 * DAY)
    await profiles.ship_profiles(database)
    return database


@pytest.fixture
async def yard(shop: Database, database: Database) -> Yard:
    workspace_id = await make.bare_workspace(database, T0 - 5 * DAY)
    await make.grant(database, workspace_id, 100, T0 - 5 * DAY)
    return Yard(database, workspace_id)


async def test_a_deployment_from_its_beginning_to_its_end(yard: Yard) -> None:
    made = await yard.create(details=Details(language="JavaScript"), replicas=2)
    assert (made.state, made.name, made.created_by) == ("deploying", "enrich", "test")
    assert made.details["version"] == 1 and made.details["languageVersion"] == "20.19.0"
    up = T0 + 3 * SECOND
    one = await deployments.succeed(
        yard.desk, made.id, yard.author(up), endpoint="https://x.example/run", access="Send your project's token."
    )
    assert (one.state, one.deployed_at, one.metered_until) == ("deployed", up, up)
    scaled = up + 1_000 * SECOND + dt.timedelta(microseconds=333_333)
    one = await deployments.scale(yard.desk, made.id, yard.author(scaled), replicas=7)
    assert (one.replicas, one.metered_until) == (7, scaled)
    down = scaled + 2 * HOUR + dt.timedelta(microseconds=1)
    one = await deployments.undeploy(yard.desk, made.id, yard.author(down))
    assert (one.state, one.metered_until) == ("ready", None)
    time = 2 * 1_000_333_333 + 7 * (2 * 3_600 * 10**6 + 1)
    assert await yard.charged(made) == (time, exactly(time))
    again = await deployments.deploy(yard.desk, made.id, yard.author(down + SECOND), profile="script-2x8", replicas=1)
    assert (again.state, again.profile, again.replicas) == ("deploying", "script-2x8", 1)
    assert (
        again.details["version"] == 2 and again.details["language"] == "JavaScript" and "endpoint" not in again.details
    )
    failed = await deployments.fail(yard.desk, made.id, yard.author(down + 9 * SECOND), reason="main.js: no such file")
    assert (failed.state, failed.reason) == ("failed", "main.js: no such file")
    gone = await deployments.delete(yard.desk, made.id, yard.author(down + 10 * SECOND))
    assert gone.state == "deleted"
    # What failed was charged nothing, and a year later neither.
    await due.bring_up(yard.database, yard.id, now=down + 20 * DAY, ids=IDS)
    assert await yard.charged(made) == (time, exactly(time))
    told = await yard.facts()
    assert [(kind, data["state"]) for kind, data in told] == [
        ("deployment.created", "deploying"),
        ("deployment.deployed", "deployed"),
        ("deployment.scaled", "deployed"),
        ("deployment.undeployed", "ready"),
        ("deployment.failed", "failed"),
        ("deployment.deleted", "deleted"),
    ]
    figures = ("endpoint", "access", "creditsPerHour", "creditsRemaining", "creditsTotal")
    assert [told[1][1][name] for name in figures] == [
        "https://x.example/run", "Send your project's token.", 0.15396, 100, 100,
    ]  # fmt: skip
    assert Decimal(str(told[3][1]["creditsRemaining"])) * NANO == 100 * NANO - exactly(time)
    steps = ("created", "started", "deployed", "scaled", "undeployed", "started", "failed", "deleted")
    assert await yard.actions() == sorted(f"deployment.{step}" for step in steps)
    assert await make.differences(yard.database, yard.id) == []


async def test_its_history_is_that_of_its_changes(yard: Yard) -> None:
    one = await yard.running()
    await deployments.undeploy(yard.desk, one.id, yard.author(T0 + HOUR))
    await deployments.deploy(yard.desk, one.id, yard.author(T0 + 2 * HOUR))
    found = await queries.history(yard.database, yard.id, one.id)
    assert [(change.number, change.asked, change.state) for change in found.changes] == [
        (1, "create", "draft"),
        (2, "deploy", "deploying"),
        (3, "succeed", "deployed"),
        (4, "undeploy", "ready"),
        (5, "deploy", "deploying"),
    ]
    shown = [(span.version, span.status, span.deployed_for(T0 + 3 * HOUR)) for span in found.spans]
    assert shown == [(2, None, None), (1, "Success", HOUR)]
    seen = (await queries.several(yard.database, yard.id, [one.id], now=T0))[0]
    assert (seen.microseconds, seen.credits) == (3_600 * 10**6, HOURLY)
    assert seen.cost is not None and seen.cost.hour == HOURLY


@pytest.mark.parametrize("kind", ["tool", "model", "guardrail"])
async def test_what_has_no_hardware_may_be_there_at_once_and_costs_no_time(yard: Yard, kind: str) -> None:
    new = NewDeployment(kind, "ours", deployed=True, endpoint="https://x.example")
    one = await yard.create(new)
    assert (one.state, one.metered_until, one.deployed_at) == ("deployed", None, T0)
    assert one.details["endpoint"] == "https://x.example" and one.details["version"] == 1
    down = await deployments.undeploy(yard.desk, one.id, yard.author(T0 + DAY))
    assert down.state == "undeployed"
    assert await yard.charged(one) == (0, 0)
    error = await refused(deployments.scale(yard.desk, one.id, yard.author(T0 + DAY), replicas=1))
    assert error.code == "invalidTransition"


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewDeployment("other", "x"), "kind"),
        (NewDeployment("script", "x"), "profile"),
        (NewDeployment("tool", "x", profile="script-1x2"), "profile"),
        (replace(SCRIPT, deployed=True), "deployed"),
        (replace(SCRIPT, draft=True, deployed=True), "deployed"),
        (replace(SCRIPT, endpoint="https://x.example"), "endpoint"),
        (replace(SCRIPT, replicas=11), "replicas"),
        (replace(SCRIPT, replicas=2, details=Details(max_replicas=1)), "replicas"),
        (replace(SCRIPT, details=Details(type="base")), "type"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_leaves_nothing(yard: Yard, new: NewDeployment, field: str) -> None:
    error = await refused(yard.create(new))
    assert (error.code, error.details["field"]) == ("invalidDeployment", field)
    assert await yard.facts() == []


@pytest.mark.parametrize("profile", ["guardrail-1x2", "gpu-t4", "nothing"])
async def test_hardware_for_something_else_is_not_found(yard: Yard, profile: str) -> None:
    assert (await refused(yard.create(profile=profile))).code == "profileNotFound"
    one = await yard.running()
    error = await refused(deployments.scale(yard.desk, one.id, yard.author(T0 + HOUR), profile=profile))
    assert error.code == "profileNotFound"


LEFT: list[tuple[str, str | None, bool]] = [
    # credits left, why a deployment is refused, whether an import makes drafts
    ("100", None, False),
    ("5", None, False),
    ("4.999999999", "deploymentsDisabled", False),
    ("0.000000001", "deploymentsDisabled", False),
    ("0", "deploymentsDisabled", True),
    ("-9.999999999", "deploymentsDisabled", True),
    ("-10", "negativeLimitReached", True),
    ("-11", "negativeLimitReached", True),
]


@pytest.mark.parametrize(("left", "reason", "drafts"), LEFT)
async def test_the_gate_by_what_is_left(yard: Yard, left: str, reason: str | None, drafts: bool) -> None:
    draft = await yard.create(draft=True)
    if left != "100":
        await yard.spend(str(100 - Decimal(left)))
    asks: list[Callable[[], Awaitable[Deployment]]] = [
        yard.create,
        lambda: yard.create(NewDeployment("tool", "ours", deployed=True)),
        lambda: deployments.deploy(yard.desk, draft.id, yard.author()),
    ]
    for ask in asks:
        if reason is None:
            assert (await ask()).state in ("deploying", "deployed")
        else:
            assert (await refused(ask())).code == reason
    # A draft is only kept, whatever is left.
    assert (await yard.create(draft=True, resource="later")).state == "draft"
    project = [SCRIPT, NewDeployment("tool", "lookup"), replace(SCRIPT, draft=True)]
    importing = deployments.import_project(yard.desk, project, yard.author())
    if reason is not None and not drafts:
        assert (await refused(importing)).code == reason
        return
    made = await importing
    states = ["draft"] * 3 if drafts else ["deploying", "deploying", "draft"]
    assert [one.state for one in made.deployments] == states
    assert made.drafted_because == (reason if drafts else None)


async def test_limits_of_its_own_stand_over_those_of_all(yard: Yard) -> None:
    await yard.spend("40")

    async def put(conn: Connection) -> None:
        await limits.put(conn, yard.id, OwnLimits(deploy_threshold=61 * NANO), T0)

    await yard.database.run(put)
    error = await refused(yard.create())
    assert (error.code, error.details["threshold"], error.details["posted"]) == ("deploymentsDisabled", 61, 60)


async def test_an_import_is_made_whole_or_not_at_all(yard: Yard) -> None:
    project = [SCRIPT, replace(SCRIPT, resource="other", profile="gpu-h100")]
    assert (await refused(deployments.import_project(yard.desk, project, yard.author()))).code == "profileNotFound"
    found = await queries.page(yard.database, yard.id, now=T0, limit=10, offset=0)
    assert (found, await yard.facts()) == ([], [])
    error = await refused(deployments.import_project(yard.desk, [], yard.author()))
    assert error.details["field"] == "deployments"


async def test_the_same_request_again_is_the_same_deployment(yard: Yard) -> None:
    made = await asyncio.gather(
        *(deployments.create(yard.desk, SCRIPT, yard.author(key="k", route="create")) for _ in range(8))
    )
    assert len({one.id for one in made}) == 1
    assert [kind for kind, _ in await yard.facts()] == ["deployment.created"]
    other = deployments.create(yard.desk, SCRIPT, yard.author(key="k", asked=b"y", route="create"))
    assert (await refused(other)).code == "idempotencyConflict"
    project = [SCRIPT, SCRIPT]
    twice = [
        await deployments.import_project(yard.desk, project, yard.author(key="p", route="import")) for _ in range(2)
    ]
    assert [one.id for one in twice[0].deployments] == [one.id for one in twice[1].deployments]
    # A report is done once however often it is sent, also when it went on since.
    for _ in range(3):
        await deployments.succeed(yard.desk, made[0].id, yard.author(key="up", route="report"))
    await deployments.undeploy(yard.desk, made[0].id, yard.author(T0 + HOUR, key="down", route="undeploy"))
    late = await deployments.succeed(yard.desk, made[0].id, yard.author(T0 + HOUR, key="up", route="report"))
    assert late.state == "ready"
    assert await yard.charged(made[0]) == (3_600 * 10**6, HOURLY)


async def test_whoever_dies_at_any_step_of_a_change_has_changed_nothing(yard: Yard) -> None:
    async def everything() -> list[dict[str, Any]]:
        tables = ("deployment", "deployment_change", "deployment_day", "usage_event", "audit_entry", "fact", "resource")
        counted = ", ".join(f"(SELECT count(*) FROM {table} WHERE workspace_id = w.id) AS {table}" for table in tables)
        query = f"SELECT {counted}, (SELECT sum(seq) FROM balance WHERE workspace_id = w.id) AS seq"
        return await make.rows(yard.database, f"{query} FROM workspace AS w WHERE w.id = %s", yard.id)

    async def dying(ask: Callable[[], Awaitable[Deployment]]) -> Deployment:
        before = await everything()
        for statement in range(1, 200):
            try:
                with dying_at(statement):
                    done = await ask()
            except DiedError:
                assert await everything() == before, f"half of it is there after {statement}"
            else:
                assert statement > 10, "there were steps to die at"
                return done
        raise AssertionError("it never gets through")

    one = await dying(lambda: deployments.create(yard.desk, SCRIPT, yard.author(key="a", route="create")))
    assert (await deployments.create(yard.desk, SCRIPT, yard.author(key="a", route="create"))).id == one.id
    await dying(lambda: deployments.succeed(yard.desk, one.id, yard.author(T0)))
    await dying(lambda: deployments.scale(yard.desk, one.id, yard.author(T0 + HOUR), replicas=4))
    await dying(lambda: deployments.undeploy(yard.desk, one.id, yard.author(T0 + 3 * HOUR)))
    await dying(lambda: deployments.delete(yard.desk, one.id, yard.author(T0 + 3 * HOUR)))
    assert await yard.charged(one) == (9 * 3_600 * 10**6, 9 * HOURLY)
    kinds = ["created", "deployed", "scaled", "undeployed", "deleted"]
    assert sorted(kind for kind, _ in await yard.facts()) == sorted(f"deployment.{kind}" for kind in kinds)
    assert await make.differences(yard.database, yard.id) == []


async def test_of_many_reports_at_once_one_counts(yard: Yard) -> None:
    made = await yard.create()

    async def ask(asked: Awaitable[Deployment]) -> str:
        try:
            return (await asked).state
        except TallystickError as error:
            return error.code

    up = await asyncio.gather(
        *(ask(deployments.succeed(yard.desk, made.id, yard.author())) for _ in range(4)),
        *(ask(deployments.fail(yard.desk, made.id, yard.author(), reason="late")) for _ in range(4)),
    )
    assert sorted(up)[1:] == ["invalidTransition"] * 7
    if up.count("deployed"):
        down = await asyncio.gather(
            *(ask(deployments.undeploy(yard.desk, made.id, yard.author(T0 + HOUR))) for _ in range(6))
        )
        assert sorted(down) == ["invalidTransition"] * 5 + ["ready"]
        assert await yard.charged(made) == (3_600 * 10**6, HOURLY)
    assert await make.differences(yard.database, yard.id) == []


async def test_scaled_by_many_at_once_it_is_charged_as_its_history_says(yard: Yard) -> None:
    one = await yard.running(details=Details(max_replicas=10))
    # Every process has a clock of its own, some a little behind.
    moments = [T0 + dt.timedelta(milliseconds=977 * step) for step in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3)]
    await asyncio.gather(
        *(
            deployments.scale(yard.desk, one.id, yard.author(moment), replicas=replicas)
            for replicas, moment in enumerate(moments, 1)
        ),
        *(due.bring_up(yard.database, yard.id, now=moment, ids=IDS) for moment in moments),
    )
    await deployments.undeploy(yard.desk, one.id, yard.author(T0 + HOUR))
    changes = (await queries.history(yard.database, yard.id, one.id)).changes[2:]
    assert [change.at for change in changes] == sorted(change.at for change in changes)
    microsecond = dt.timedelta(microseconds=1)
    time = sum(change.replicas * ((following.at - change.at) // microsecond) for change, following in pairwise(changes))
    assert await yard.charged(one) == (time, exactly(time))
    assert await make.differences(yard.database, yard.id) == []


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_asked_in_whatever_order_time_is_charged_as_it_was_deployed(yard: Yard, seed: int) -> None:
    chance = random.Random(seed)
    machines = {"script": ["script-1x2", "script-4x16"], "guardrail": ["guardrail-2x4"], "model": ["gpu-t4"]}
    await make.grant(yard.database, yard.id, 10_000_000, T0 - DAY)
    made: dict[UUID, tuple[str, str]] = {}
    spent: dict[UUID, Fraction] = {}
    since: dict[UUID, tuple[dt.datetime, str | None, int]] = {}
    now = T0
    for _ in range(70):
        now += dt.timedelta(microseconds=chance.choice([0, 1, 999_999, 59_000_001, 3_600_000_000, 40_000_000_000]))
        asked = chance.choice(["create", "deploy", "succeed", "succeed", "scale", "undeploy", "delete", "fail", "look"])
        if asked == "look":
            await due.bring_up(yard.database, yard.id, now=now, ids=IDS)
            continue
        if asked == "create" or not made:
            kind = chance.choice(list(machines))
            new = NewDeployment(kind, f"{kind} {len(made)}", profile=chance.choice(machines[kind]))
            one = await yard.create(new, now=now)
            made[one.id], spent[one.id] = (kind, one.state), Fraction(0)
            continue
        chosen = chance.choice(list(made))
        kind, state = made[chosen]
        author, led = yard.author(now), TRANSITIONS[kind].get((state, asked))
        asks: dict[str, Callable[[], Awaitable[Deployment]]] = {
            "deploy": partial(deployments.deploy, yard.desk, chosen, author),
            "succeed": partial(deployments.succeed, yard.desk, chosen, author),
            "fail": partial(deployments.fail, yard.desk, chosen, author, reason="no"),
            "scale": partial(
                deployments.scale, yard.desk, chosen, author,
                replicas=chance.randint(1, 9), profile=chance.choice([None, *machines[kind]]),
            ),
            "undeploy": partial(deployments.undeploy, yard.desk, chosen, author),
            "delete": partial(deployments.delete, yard.desk, chosen, author),
        }  # fmt: skip
        if led is None:
            assert (await refused(asks[asked]())).code == "invalidTransition"
            continue
        after = await asks[asked]()
        assert after.state == led
        made[chosen] = kind, led
        begun, profile, replicas = since.pop(chosen, (now, None, 0))
        if profile is not None:
            time = (now - begun) // dt.timedelta(microseconds=1)
            spent[chosen] += Fraction(parse_credits(SHIPPED[profile][1]) * time * replicas, 3_600 * 10**6)
        if led == "deployed":
            since[chosen] = now, after.profile, after.replicas
    assert len(made) > 3 and any(spent.values())
    for chosen, (begun, profile, replicas) in since.items():
        await deployments.undeploy(yard.desk, chosen, yard.author(now))
        time = (now - begun) // dt.timedelta(microseconds=1)
        spent[chosen] += Fraction(parse_credits(SHIPPED[profile or ""][1]) * time * replicas, 3_600 * 10**6)
    charged = 0
    for chosen in made:
        seen = (await queries.several(yard.database, yard.id, [chosen], now=now))[0]
        # One counter for all that have the same price: what rounding moves between two deployments is a nano-credit
        # at each piece; over all of them it is one for each price and billing period.
        assert abs(Fraction(seen.credits) - spent[chosen]) < Fraction(100)
        assert (await yard.charged(seen.deployment))[1] == seen.credits
        charged += seen.credits
    assert abs(charged - sum(spent.values(), Fraction(0))) <= Fraction(8)
    assert await make.differences(yard.database, yard.id) == []


async def test_a_report_from_a_clock_that_is_behind_never_undoes_time_that_was_charged(yard: Yard) -> None:
    one = await yard.running()
    await due.bring_up(yard.database, yard.id, now=T0 + HOUR, ids=IDS)
    charged = await yard.charged(one)
    down = await deployments.undeploy(yard.desk, one.id, yard.author(T0 + HOUR / 2))
    assert down.updated_at > T0 + HOUR / 2
    assert await yard.charged(one) == charged
    assert charged[0] == (down.updated_at - T0) // dt.timedelta(microseconds=1)


async def test_what_runs_is_not_deleted_and_what_is_deleted_is_gone_for_good(yard: Yard) -> None:
    one = await yard.running()
    error = await refused(deployments.delete(yard.desk, one.id, yard.author(T0 + SECOND)))
    assert (error.code, error.details["state"]) == ("invalidTransition", "deployed")
    assert error.details["allowed"] == ["scale", "undeploy", "stop"]
    await deployments.undeploy(yard.desk, one.id, yard.author(T0 + HOUR))
    await deployments.delete(yard.desk, one.id, yard.author(T0 + HOUR))
    assert (await refused(deployments.deploy(yard.desk, one.id, yard.author(T0 + DAY)))).code == "invalidTransition"
    assert await queries.page(yard.database, yard.id, now=T0, limit=10, offset=0) == []
    found = await queries.page(yard.database, yard.id, now=T0, limit=10, offset=0, state="deleted")
    assert [(seen.deployment.id, seen.credits) for seen in found] == [(one.id, HOURLY)]


async def test_nobody_finds_the_deployments_of_another_workspace(yard: Yard, database: Database) -> None:
    one = await yard.running()
    stranger = Yard(database, await make.bare_workspace(database, T0 - DAY))
    await make.grant(database, stranger.id, 100, T0)
    asks: list[Callable[[Desk, UUID, Author], Awaitable[Deployment]]] = [
        deployments.undeploy, deployments.delete, deployments.confirm, deployments.deploy,
    ]  # fmt: skip
    for ask in asks:
        assert (await refused(ask(stranger.desk, one.id, stranger.author()))).code == "deploymentNotFound"
    assert (await refused(queries.several(database, stranger.id, [one.id], now=T0))).code == "deploymentNotFound"
    nobody = Yard(database, IDS.new(T0))
    assert (await refused(nobody.create())).code == "workspaceNotFound"


async def test_a_resource_is_found_by_uuid_or_key_and_made_where_it_is_not_there(yard: Yard) -> None:
    change = resources.Change(name="Enrich leads")
    known, _ = await resources.put(yard.database, "script", "enrich", change, workspace_id=yard.id, now=T0)
    by_key, by_id = await yard.create(), await yard.create(resource=str(known.id))
    assert (by_key.resource_id, by_id.resource_id, by_id.name) == (known.id, known.id, "Enrich leads")
    new = await yard.create(NewDeployment("model", "support-llm", profile="gpu-t4"))
    row = await make.rows(yard.database, "SELECT kind, key FROM resource WHERE id = %s", new.resource_id)
    assert row == [{"kind": "languageModel", "key": "support-llm"}]
    error = await refused(yard.create(NewDeployment("tool", str(known.id), deployed=True)))
    assert error.code == "resourceKindConflict"
    found = await queries.page(yard.database, yard.id, now=T0, limit=10, offset=0, resource="enrich")
    assert {seen.deployment.id for seen in found} == {by_key.id, by_id.id}
    found = await queries.page(yard.database, yard.id, now=T0, limit=10, offset=0, kind="model", resource="enrich")
    assert found == []


async def test_there_are_no_more_than_there_may_be(yard: Yard) -> None:
    yard.desk = replace(yard.desk, most=3)

    async def ask() -> str:
        try:
            return (await yard.create(draft=True)).state
        except TallystickError as error:
            return error.code

    assert sorted(await asyncio.gather(*(ask() for _ in range(6)))) == ["draft"] * 3 + ["tooManyDeployments"] * 3
    one = (await queries.page(yard.database, yard.id, now=T0, limit=1, offset=0))[0].deployment
    await deployments.delete(yard.desk, one.id, yard.author())
    assert await ask() == "draft"


async def test_what_had_to_stop_is_confirmed(yard: Yard) -> None:
    script = await yard.running()
    guard = await yard.create(NewDeployment("guardrail", "pii", profile="guardrail-1x2"))
    await deployments.succeed(yard.desk, guard.id, yard.author())
    await yard.spend("110.5", T0 + HOUR)
    later = T0 + HOUR + 120 * SECOND
    await due.bring_up(yard.database, yard.id, now=later, ids=IDS)
    seen = await queries.several(yard.database, yard.id, [script.id, guard.id], now=later)
    assert [one.deployment.state for one in seen] == ["stopping", "stopping"]
    charged = await yard.charged(script)
    script = await deployments.confirm(yard.desk, script.id, yard.author(later + SECOND))
    guard = await deployments.confirm(yard.desk, guard.id, yard.author(later + SECOND))
    message = "You've used all your available credits. Please add more credits to your account to continue."
    assert (script.state, script.reason, script.comply_by) == ("failed", message, None)
    assert (guard.state, guard.reason, guard.comply_by) == ("undeployed", message, None)
    assert [kind for kind, _ in await yard.facts()][-2:] == ["deployment.stopped"] * 2
    await due.bring_up(yard.database, yard.id, now=later + DAY, ids=IDS)
    assert await yard.charged(script) == charged
    assert (await refused(deployments.deploy(yard.desk, script.id, yard.author(later)))).code == "negativeLimitReached"
    assert await make.differences(yard.database, yard.id) == []


def hardware(key: str, **more: Any) -> HardwareProfile:
    return replace(SHIPPED["script-1x2"][0], key=key, origin="operator", **more)


async def test_an_operator_prices_hardware_and_what_runs_pays_it_from_then_on(yard: Yard) -> None:
    key = f"ours-{IDS.new(T0).hex[-12:]}"
    two, three = 2 * NANO, 3 * NANO
    await profiles.put(yard.database, hardware(key), Operator("op", T0 - DAY, IDS), hourly=two)
    one = await yard.running(profile=key)
    await profiles.put(yard.database, hardware(key), Operator("op", T0 + HOUR, IDS), hourly=three)
    # Said again, nothing changes; a name is changed at no price.
    await profiles.put(yard.database, hardware(key), Operator("op", T0 + HOUR, IDS), hourly=three)
    await profiles.put(yard.database, hardware(key, name="Ours"), Operator("op", T0 + HOUR + SECOND, IDS))
    shown = {seen.profile.key: seen for seen in await queries.hardware(yard.database, now=T0 + HOUR, kind="script")}
    cost = shown[key].cost
    assert shown[key].profile.name == "Ours" and cost is not None and cost.hour == three
    await deployments.undeploy(yard.desk, one.id, yard.author(T0 + 2 * HOUR))
    assert await yard.charged(one) == (2 * 3_600 * 10**6, two + three)
    error = await refused(profiles.put(yard.database, hardware(key, kind="guardrail"), Operator("op", T0, IDS)))
    assert error.code == "profileKindConflict"


async def test_retired_hardware_goes_on_and_is_not_chosen_anew(yard: Yard) -> None:
    key = f"ours-{IDS.new(T0).hex[-12:]}"
    await profiles.put(yard.database, hardware(key), Operator("op", T0 - DAY, IDS), hourly=NANO)
    one = await yard.running(profile=key)
    await profiles.put(yard.database, hardware(key, retired_at=T0 + SECOND), Operator("op", T0 + SECOND, IDS))
    assert (await refused(yard.create(profile=key))).code == "profileNotFound"
    assert key not in {seen.profile.key for seen in await queries.hardware(yard.database, now=T0)}
    assert key in {seen.profile.key for seen in await queries.hardware(yard.database, now=T0, retired=True)}
    scaled = await deployments.scale(yard.desk, one.id, yard.author(T0 + HOUR), replicas=2)
    assert scaled.replicas == 2
    await deployments.undeploy(yard.desk, one.id, yard.author(T0 + 2 * HOUR))
    assert await yard.charged(one) == (3 * 3_600 * 10**6, 3 * NANO)


async def test_profiles_ship_once_and_an_operators_stays(database: Database) -> None:
    await profiles.ship_profiles(database)
    mine = replace(SHIPPED["guardrail-4x16"][0], name="Mine", origin="operator")
    await profiles.put(database, mine, Operator("op", T0, IDS))
    await profiles.ship_profiles(database)
    found = {seen.profile.key: seen.profile for seen in await queries.hardware(database, now=T0)}
    assert set(SHIPPED) <= set(found) and found["guardrail-4x16"].name == "Mine"
    assert {key: found[key] for key in SHIPPED if key != "guardrail-4x16"} == {
        key: profile for key, (profile, _) in SHIPPED.items() if key != "guardrail-4x16"
    }
    await profiles.put(database, SHIPPED["guardrail-4x16"][0], Operator("op", T0, IDS))


async def test_the_installations_limits_are_those_of_its_settings(yard: Yard) -> None:
    async def counting(workspace_id: UUID) -> Limits:
        async with yard.database.read() as conn:
            return await limits.effective(conn, workspace_id)

    async def own(conn: Connection) -> None:
        await limits.put(conn, yard.id, OwnLimits(negative_limit=-NANO), T0)

    other = IDS.new(T0)
    await yard.database.run(own)
    try:
        for threshold in (7 * NANO, 7 * NANO, 9 * NANO):
            said = Limits(deploy_threshold=threshold, comply_seconds=60)
            await ship_default(yard.database, said, T0)
            assert await counting(other) == said
            assert await counting(yard.id) == replace(said, negative_limit=-NANO)
    finally:
        await ship_default(yard.database, Limits(), T0)
    assert await counting(other) == Limits()
    for wrong in (
        Limits(deploy_threshold=0),
        Limits(low_limit=-1),
        Limits(low_limit=6 * NANO),
        Limits(negative_limit=0),
        Limits(comply_seconds=0),
    ):
        assert (await refused(ship_default(yard.database, wrong, T0))).code == "invalidLimits"

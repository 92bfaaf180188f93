"""The tabs of usage, against sums of raw events and spans made in plain Python (rows B6 to B10, B14)."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tallystick.runtime import Runtime
from tests import make
from tests.surfaces.conftest import NOW, Caller, House

REPORT = "/v1/usage/report"
T0 = dt.datetime(2026, 3, 2, 21, 40, 17, 250_000, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
NANO = 10**9
LONG = "A very long name " * 11 + "of 200 chars."
RANGES = [
    {"range": "24h"},
    {"range": "7d"},
    {"range": "30d"},
    {"from": "2026-03-02", "to": "2026-03-02"},
    {"from": "2026-03-03", "to": "2026-03-04"},
    {"from": "2026-02-01", "to": "2026-02-28"},
    {"from": "2026-04-01", "to": "2026-04-02"},
]


def exact(response: httpx2.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return json.loads(response.content, parse_float=Decimal)


def nano(shown: Any) -> int:
    return int(Decimal(shown) * NANO)


@dataclass
class Shop:
    """A workspace on a clock of its own, and who asks."""

    runtime: Runtime
    uuid: UUID
    caller: Caller
    now: dt.datetime
    ids: dict[str, str] = field(default_factory=dict)

    async def to(self, at: dt.datetime) -> None:
        exact(await self.caller.post(f"/v1/workspaces/{self.uuid}/clock", {"to": at.isoformat()}))
        self.now = at

    async def create(self, key: str, kind: str, **terms: Any) -> None:
        body = {"kind": kind, "resource": key, **terms}
        self.ids[key] = exact(await self.caller.post("/v1/deployments", body), 201)["deployment"]["uuid"]
        if not terms.get("deployed") and not terms.get("draft"):
            await self.ask(key, "report", status="succeeded")

    async def ask(self, key: str, asked: str, **body: Any) -> None:
        exact(await self.caller.post(f"/v1/deployments/{self.ids[key]}/{asked}", body))

    async def use(self, id_: str, type_: str, **data: Any) -> None:
        event = {
            "specversion": "1.0",
            "source": "test",
            "id": id_,
            "type": type_,
            "subject": str(self.uuid),
            "time": self.now.isoformat(),
            "data": data,
        }
        assert exact(await self.caller.post("/v1/events", event))["accepted"] == 1

    async def tab(self, name: str, **query: str) -> dict[str, Any]:
        found: dict[str, Any] = exact(await self.caller.get(REPORT, params={"tab": name, **query}))
        assert found["tab"] == name
        return found

    async def events(self) -> list[dict[str, Any]]:
        query = "SELECT *, data::jsonb AS facts FROM usage_event WHERE workspace_id = %s"
        return await make.rows(self.runtime.database, query, self.uuid)


async def open_shop(runtime: Runtime, operator: Caller, amount: int = 10_000) -> Shop:
    body = {"name": "Tabs", "clock": T0.isoformat(), "grants": [{"unit": "credits", "amount": amount}]}
    body["grants"].append({"unit": "toolRuns", "amount": 1_000})  # type: ignore[attr-defined]
    made = exact(await operator.post("/v1/workspaces", body), 201)
    uuid = UUID(made["workspace"]["uuid"])
    return Shop(runtime, uuid, Caller(operator.http, operator.token, uuid), T0)


@pytest.fixture(scope="module")
async def shop(runtime: Runtime, operator: Caller) -> Shop:
    """Two and a half days: everything of every tab, scaled, taken down, deleted, corrected."""
    shop = await open_shop(runtime, operator)
    await shop.create("etl", "script", profile="script-1x2", replicas=2, language="Python", languageVersion="3.10.15")
    await shop.create("crawl", "script", profile="script-1x2", language="JavaScript")
    await shop.create("idle", "script", profile="script-1x2", draft=True)
    await shop.create("toxicity", "guardrail", profile="guardrail-2x4")
    await shop.create("llama", "model", profile="gpu-t4")
    await shop.create("search", "tool", deployed=True)
    await shop.create("mail", "tool", deployed=True)
    await shop.create("never", "tool", draft=True)
    exact(await shop.caller.put("/v1/resources/script/etl", {"name": LONG}))
    await shop.use("r1", "tool.call", tool="search", quantity=3)
    await shop.use("r2", "tool.call", tool="never")
    await shop.use("l1", "llm.tokens", model="gpt-4o", integration="openai", inputTokens=100_000, outputTokens=20_000)
    await shop.to(T0 + 5 * HOUR)
    await shop.ask("crawl", "undeploy")
    await shop.ask("etl", "scale", replicas=3)
    await shop.ask("llama", "scale", replicas=2)
    await shop.use("r3", "tool.call", tool="search")
    await shop.use("r4", "tool.call", tool="mail", status="error")
    await shop.use("l2", "llm.tokens", model="gpt-4o", integration="openai", inputTokens=7)
    await shop.use("own", "guardrail.time", quantity=3_600, profile="guardrail-1x2")
    await shop.to(T0 + DAY + dt.timedelta(minutes=7, microseconds=3))
    await shop.ask("etl", "scale", profile="script-4x8", replicas=1)
    await shop.ask("toxicity", "undeploy")
    await shop.use("r5", "tool.call", tool="search", quantity=2)
    await shop.use("x", "event.cancelled", source="test", id="l2", reason="wrong")
    job = {"baseModel": "llama", "model": "tuned", "trainingTokens": 1_000_000, "epochs": 2, "complexity": "small"}
    job = exact(await shop.caller.post("/v1/fine-tuning-jobs", job | {"profile": "gpu-l4", "seconds": 600}), 201)["job"]
    await shop.to(T0 + 2 * DAY)
    report = {"status": "succeeded", "trainingTokens": 1_000_000, "epochs": 2, "seconds": 700}
    exact(await shop.caller.post(f"/v1/fine-tuning-jobs/{job['uuid']}/report", report))
    await shop.create("tuned", "model", profile="gpu-l4", type="fineTuned")
    await shop.ask("mail", "undeploy")
    exact(await shop.caller.delete(f"/v1/deployments/{shop.ids['mail']}"))
    await shop.to(T0 + 2 * DAY + 12 * HOUR)
    await shop.ask("etl", "undeploy")
    exact(await shop.caller.put("/v1/resources/guardrail/toxicity", {"name": "Toxicity, the last", "deleted": True}))
    await shop.to(T0 + 2 * DAY + 13 * HOUR + dt.timedelta(seconds=30))
    return shop


@dataclass(frozen=True)
class Oracle:
    """Sums over raw events and spans between two instants."""

    shop: Shop
    raw: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    resources: dict[UUID, str]
    start: dt.datetime
    end: dt.datetime

    def events(self, **wanted: Any) -> Iterator[dict[str, Any]]:
        for event in self.raw:
            if self.start <= event["used_at"] < self.end and all(event[k] == v for k, v in wanted.items()):
                yield event

    def credits(self, **wanted: Any) -> int:
        return sum(event["credits"] for event in self.events(**wanted))

    def charged(self, key: str) -> int:
        """Nano-credits of a resource's deployments."""
        return sum(event["credits"] for event in self.of(key))

    def of(self, key: str) -> list[dict[str, Any]]:
        """The charges of a resource's deployment."""
        identity = self.shop.ids.get(key)
        return [event for event in self.events() if event["facts"].get("deployment") == identity is not None]

    def microseconds(self, key: str) -> dict[str, int]:
        """Replica time of a deployment by profile, from the changes of its history."""
        found: dict[str, int] = {}
        own = [row for row in self.changes if str(row["deployment_id"]) == self.shop.ids[key]]
        ends = [row["at"] for row in own[1:]] + [self.shop.now.replace(second=0, microsecond=0)]
        for row, end in zip(own, ends, strict=True):
            since, until = max(row["at"], self.start), min(end, self.end)
            if row["state"] == "deployed" and row["profile"] and since < until:
                span = (until - since) // dt.timedelta(microseconds=1) * row["replicas"]
                found[row["profile"]] = found.get(row["profile"], 0) + span
        return found


async def oracle(shop: Shop, shown: dict[str, Any]) -> Oracle:
    at = [dt.datetime.fromisoformat(shown["range"][edge]) for edge in ("from", "to")]
    changes = await make.rows(
        shop.runtime.database,
        "SELECT * FROM deployment_change WHERE workspace_id = %s ORDER BY deployment_id, number",
        shop.uuid,
    )
    resources = await make.rows(shop.runtime.database, "SELECT * FROM resource WHERE workspace_id = %s", shop.uuid)
    return Oracle(shop, await shop.events(), changes, {row["id"]: row["key"] for row in resources}, at[0], at[1])


@pytest.mark.parametrize("range_", RANGES, ids=str)
async def test_overview_adds_up(shop: Shop, range_: dict[str, str]) -> None:
    shown = await shop.tab("overview", **range_)
    truth = await oracle(shop, shown)
    assert nano(shown["totals"]["credits"]) == truth.credits()
    assert nano(shown["totals"]["toolRuns"]) == sum(event["tool_runs"] for event in truth.events())
    for one in shown["categories"]:
        assert nano(one["credits"]) == truth.credits(category=one["category"])
    assert sum(nano(one["credits"]) for one in shown["categories"]) == truth.credits()
    step = HOUR if shown["range"]["hourly"] else DAY
    assert len(shown["trend"]) == (truth.end - truth.start) / step
    for number, point in enumerate(shown["trend"]):
        start = truth.start + number * step
        assert dt.datetime.fromisoformat(point["time"]) == start
        here = [event for event in truth.events() if start <= event["used_at"] < start + step]
        assert nano(point["credits"]) == sum(event["credits"] for event in here)
        assert nano(point["toolRuns"]) == sum(event["tool_runs"] for event in here)
        groups = {"models": ("llm", "hosting", "fine_tuning"), "guardrails": ("guardrail",), "scripts": ("script",)}
        for group, categories in groups.items():
            assert nano(point[group]) == sum(event["credits"] for event in here if event["category"] in categories)
    assert shown["balances"] == exact(await shop.caller.get("/v1/balances"))["balances"]


@pytest.mark.parametrize("range_", RANGES, ids=str)
async def test_tools_ever_deployed_are_listed_and_totals_count_them(shop: Shop, range_: dict[str, str]) -> None:
    shown = await shop.tab("tools", **range_)
    truth = await oracle(shop, shown)
    rows = {row["name"]: row for row in shown["rows"]}
    assert {name: row["status"] for name, row in rows.items()} == {"search": "Deployed", "mail": "Deleted"}
    for name, row in rows.items():
        own = [event for event in truth.events() if event["tool_id"] and truth.resources[event["tool_id"]] == name]
        assert nano(row["runs"]) == sum(event["tool_runs"] for event in own)
    assert shown["totals"]["tools"] == 2
    assert nano(shown["totals"]["runs"]) == sum(nano(row["runs"]) for row in shown["rows"])
    if truth.end > T0 + 2 * DAY:
        assert (rows["search"]["lastActiveOn"], rows["mail"]["lastActiveOn"]) == ("2026-03-03", "2026-03-03")
    if truth.end <= T0:
        assert rows["search"]["lastActiveOn"] is None


@pytest.mark.parametrize("range_", RANGES, ids=str)
async def test_models_add_up_to_their_charges(shop: Shop, range_: dict[str, str]) -> None:
    shown = await shop.tab("models", **range_)
    truth = await oracle(shop, shown)
    totals = shown["totals"]
    assert nano(totals["fineTuningCredits"]) == truth.credits(category="fine_tuning")
    assert nano(totals["hostingCredits"]) == truth.credits(category="hosting")
    assert nano(totals["inferenceCredits"]) == truth.credits(category="llm")
    assert totals["credits"] == totals["fineTuningCredits"] + totals["hostingCredits"] + totals["inferenceCredits"]
    assert sum(row["credits"] for row in shown["rows"]) + totals["unattributed"] == totals["credits"]
    assert totals["models"] == len(shown["rows"])
    assert {row["name"]: row["type"] for row in shown["rows"]} == {
        "gpt-4o": "Base",
        "llama": "Base",
        "tuned": "Fine-tuned",
    }
    for row in shown["rows"]:
        assert nano(row["credits"]) == truth.credits(language_model=row["name"])
        deployed = row["lastDeployedAt"] and dt.datetime.fromisoformat(row["lastDeployedAt"])
        assert deployed == {"llama": T0, "tuned": T0 + 2 * DAY}.get(row["name"])
        panel = (await shop.tab("models", model=row["name"], **range_))["panel"]
        assert sum(one["credits"] for one in panel["rows"]) == panel["credits"] == row["hostingCredits"]
        for one in panel["rows"]:
            assert nano(one["credits"]) == truth.charged(row["name"])
            assert nano(one["seconds"]) == sum(truth.microseconds(row["name"]).values()) * 1_000
            assert (one["uuid"], one["status"]) == (shop.ids[row["name"]], "Deployed")
            assert one["type"] == {"llama": "1 × T4, 16 GB", "tuned": "1 × L4, 24 GB"}[row["name"]]


@pytest.mark.parametrize("range_", RANGES, ids=str)
async def test_guardrails_and_what_no_guardrail_of_the_list_was_charged_for(shop: Shop, range_: dict[str, str]) -> None:
    shown = await shop.tab("guardrails", **range_)
    truth = await oracle(shop, shown)
    totals = shown["totals"]
    assert nano(totals["credits"]) == truth.credits(category="guardrail")
    assert sum(row["credits"] for row in shown["rows"]) + totals["unattributed"] == totals["credits"]
    assert nano(totals["unattributed"]) == truth.credits(source="test", category="guardrail")
    spent = truth.charged("toxicity")
    if not spent:
        assert shown["rows"] == [], "a deleted one is listed where it was charged"
        return
    (row,) = shown["rows"]
    microseconds = truth.microseconds("toxicity")["guardrail-2x4"]
    assert (row["name"], row["status"], nano(row["credits"])) == ("Toxicity, the last", "Deleted", spent)
    assert nano(row["seconds"]) == nano(totals["seconds"]) == microseconds * 1_000
    assert dt.datetime.fromisoformat(row["lastDeployedAt"]) == T0
    panel = (await shop.tab("guardrails", guardrail="toxicity", **range_))["panel"]
    assert [(one["profile"], one["cpuType"], one["cpuCount"]) for one in panel["hardware"]] == [
        ("guardrail-2x4", "x86-64", 2)
    ]
    assert (nano(panel["credits"]), nano(panel["seconds"])) == (spent, microseconds * 1_000)


@pytest.mark.parametrize("range_", RANGES, ids=str)
async def test_scripts_by_hardware_and_component(shop: Shop, range_: dict[str, str]) -> None:
    shown = await shop.tab("scripts", **range_)
    truth = await oracle(shop, shown)
    rows = {row["name"]: row for row in shown["rows"]}
    assert set(rows) == {LONG, "crawl", "idle"}
    assert len(LONG) == 200
    assert (rows["idle"]["status"], rows["idle"]["credits"], rows["idle"]["lastActiveOn"]) == ("Draft", 0, None)
    row = rows[LONG]
    assert (row["language"], row["version"], row["status"]) == ("Python", "3.10.15", "Ready to Deploy")
    spent, used = truth.charged("etl"), truth.microseconds("etl")
    assert nano(row["credits"]) == spent
    assert nano(rows["crawl"]["credits"]) == truth.charged("crawl")
    assert nano(rows["crawl"]["seconds"]) == sum(truth.microseconds("crawl").values()) * 1_000
    assert nano(shown["totals"]["hostingCredits"]) == truth.credits(category="script")
    assert shown["totals"]["hostingCredits"] == row["credits"] + rows["crawl"]["credits"]
    assert nano(row["seconds"]) == sum(used.values()) * 1_000
    panel = (await shop.tab("scripts", script=row["uuid"], **range_))["panel"]
    assert {one["profile"]: nano(one["seconds"]) for one in panel["hardware"]} == {
        profile: microseconds * 1_000 for profile, microseconds in used.items()
    }
    for one in panel["hardware"]:
        assert sum(part["credits"] for part in one["components"]) == one["credits"]
        assert (one["hours"], one["minutes"]) == (one["seconds"] // 3_600, one["seconds"] % 3_600 // 60)
        own = [e for e in truth.of("etl") if e["facts"]["profile"] == one["profile"]]
        assert nano(one["credits"]) == sum(event["credits"] for event in own)
    assert sum(part["credits"] for part in panel["components"]) == panel["credits"]
    assert nano(panel["credits"]) == spent


@pytest.mark.parametrize("tab", ["overview", "tools", "models", "guardrails", "scripts"])
@pytest.mark.parametrize("range_", RANGES[:3] + RANGES[4:5], ids=str)
async def test_the_previous_period_is_as_long_and_says_what_its_own_range_says(
    shop: Shop, tab: str, range_: dict[str, str]
) -> None:
    shown = await shop.tab(tab, compare="true", **range_)
    before = shown["previous"]
    start, end = (dt.datetime.fromisoformat(shown["range"][edge]) for edge in ("from", "to"))
    was, until = (dt.datetime.fromisoformat(before["range"][edge]) for edge in ("from", "to"))
    assert (until, end - start) == (start, until - was)
    if not shown["range"]["hourly"]:
        days = {"from": was.date().isoformat(), "to": (until - DAY).date().isoformat()}
        same = (await shop.tab(tab, **days))["totals"]
        counted = ("models", "guardrails", "scripts")
        assert {k: v for k, v in before["totals"].items() if k not in counted} == {
            k: v for k, v in same.items() if k not in counted
        }
    assert (await shop.tab(tab, **range_))["previous"] is None


@pytest.mark.parametrize("tab", ["overview", "tools", "models", "guardrails", "scripts"])
async def test_a_workspace_with_nothing_has_tabs_of_nothing(house: House, tab: str) -> None:
    shown = exact(await house.owner.get(REPORT, params={"tab": tab, "compare": "true"}))
    assert set(shown["totals"].values()) == {0}
    assert shown["previous"]["totals"] == shown["totals"]
    assert shown.get("rows", []) == []
    assert shown["range"]["to"] == "2026-03-15T00:00:00Z"
    if tab == "overview":
        assert len(shown["trend"]) == 30
        assert [one["usedPercent"] for one in shown["balances"]] == [0, 0]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ({"tab": "money"}, 400, "invalidRequest"),
        ({"tab": "models", "range": "1y"}, 400, "invalidRange"),
        ({"tab": "models", "range": "7d", "from": "2026-03-01"}, 400, "invalidRange"),
        ({"tab": "models", "from": "2026-03-01"}, 400, "invalidDate"),
        ({"tab": "models", "from": "2026-03-02", "to": "2026-03-01"}, 400, "invalidRange"),
        ({"tab": "models", "from": "2024-03-02", "to": "2026-03-01"}, 400, "rangeTooLong"),
        ({"tab": "models", "model": "nothing"}, 404, "resourceNotFound"),
        ({"tab": "guardrails", "guardrail": "nothing"}, 404, "resourceNotFound"),
        ({"tab": "scripts", "script": "x" * 201}, 400, "invalidKey"),
        ({"range": "7d"}, 400, "invalidDate"),
    ],
)
async def test_a_tab_that_is_asked_for_wrongly(house: House, query: dict[str, str], status: int, reason: str) -> None:
    answer = await house.owner.get(REPORT, params=query)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_the_owner_of_a_tool_is_who_made_it_unless_the_platform_says_otherwise(house: House) -> None:
    for key in ("mine", "theirs"):
        body = {"kind": "tool", "resource": key, "deployed": True}
        exact(await house.owner.post("/v1/deployments", body), 201)
    exact(await house.owner.put("/v1/resources/tool/theirs", {"attributes": {"owner": "Ada Lovelace"}}))
    rows = exact(await house.owner.get(REPORT, params={"tab": "tools"}))["rows"]
    email = exact(await house.owner.get("/v1/userManagement/users/current"))["user"]["email"]
    assert {row["name"]: row["owner"] for row in rows} == {"mine": email, "theirs": "Ada Lovelace"}


def test_the_clock_of_these_tests_is_not_that_of_the_server() -> None:
    assert T0 + 3 * DAY < NOW

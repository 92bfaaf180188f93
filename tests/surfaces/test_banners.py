"""Banners and the widget through the API, from the first credit to the last."""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tests import make
from tests.bills import owed
from tests.surfaces.conftest import IDS, NOW, Caller, House
from tests.surfaces.test_usage import report


async def banners(caller: Caller) -> list[dict[str, Any]]:
    answer = await caller.get("/v1/banners")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["banners"])


async def ids(caller: Caller) -> list[str]:
    return [banner["id"] for banner in await banners(caller)]


async def use(house: House, amount: str = "", tool_runs: int = 0) -> None:
    if amount:
        await report(house, {"id": str(IDS.new(NOW)), "type": "direct.charge", "quantity": amount})
    if tool_runs:
        await report(house, {"id": str(IDS.new(NOW)), "type": "tool.call", "quantity": tool_runs, "tool": "t"})


async def test_from_the_first_credit_to_the_last(house: House, runtime: Runtime) -> None:
    assert await banners(house.owner) == []
    await use(house, "14.99")
    assert await ids(house.owner) == []
    await use(house, "0.01")
    assert await banners(house.owner) == [
        {
            "id": "credits.20.1",
            "kind": "threshold",
            "unit": "credits",
            "percent": 20,
            "usedPercent": 20,
            "message": "20% of credits used: 60 of 75 left.",
            "removable": True,
            "action": {"way": "topUpOrUpgrade", "label": "Top up or upgrade", "url": None},
        }
    ]
    for used, expected in [("22.5", "50"), ("15", "70"), ("7.5", "80"), ("7.5", "90"), ("7.5", "exhausted")]:
        await use(house, used)
        assert await ids(house.owner) == [f"credits.{expected}.1"]
    [last] = await banners(house.owner)
    assert (last["kind"], last["percent"], last["usedPercent"], last["removable"]) == ("exhausted", 100, 100, False)
    await use(house, tool_runs=10_000)
    assert await ids(house.owner) == ["credits.exhausted.1", "toolRuns.exhausted.1"]
    given = {"workspaceUuid": str(house.uuid), "unit": "credits", "amount": 75, "reason": "test"}
    assert (await house.operator.post("/v1/grants", given)).status_code == 201
    assert await ids(house.owner) == ["toolRuns.exhausted.1", "credits.50.2"]
    assert await make.differences(runtime.database, house.uuid) == []


async def test_what_is_past_due_stands_on_top_with_what_follows(house: House, runtime: Runtime) -> None:
    due = {"due_at": NOW - dt.timedelta(days=2), "status": "past_due"}
    invoice = await owed(runtime.database, house.uuid, 9_900, NOW - dt.timedelta(days=16), **due)
    [banner] = await banners(house.owner)
    assert (banner["kind"], banner["removable"], banner["action"]["way"]) == ("pastDue", False, "updatePayment")
    assert banner["message"] == (
        f"Invoice {invoice.number} ($99.00) was due 12 Mar 2026. New runs are paused from 26 Mar 2026 on."
    )
    assert await ids(await house.caller("member")) == []
    # Who may pay has the way to the page, whose link needs no login.
    page = await house.owner.get(urlsplit(banner["action"]["url"]).path)
    assert (page.status_code, f"{invoice.number}" in page.text) == (200, True)


async def test_a_member_puts_a_banner_away_for_themselves_alone_until_the_next_threshold(house: House) -> None:
    await use(house, "40")
    admin = await house.caller("admin")
    gone = await admin.post("/v1/banners/credits.50.1/dismiss")
    assert (gone.status_code, gone.json()) == (200, {"banners": []})
    assert (await admin.post("/v1/banners/credits.50.1/dismiss")).json() == {"banners": []}
    assert (await ids(admin), await ids(house.owner)) == ([], ["credits.50.1"])
    await use(house, "15")
    assert await ids(admin) == ["credits.70.1"]


async def test_only_a_current_and_removable_banner_is_put_away(house: House) -> None:
    absent = await house.owner.post("/v1/banners/credits.50.1/dismiss")
    assert (absent.status_code, absent.json()["reason"]) == (404, "bannerNotFound")
    await use(house, "75")
    fixed = await house.owner.post("/v1/banners/credits.exhausted.1/dismiss")
    assert (fixed.status_code, fixed.json()["reason"]) == (409, "bannerNotRemovable")
    assert await ids(house.owner) == ["credits.exhausted.1"]
    stray = await house.owner.post("/v1/banners/%00%F0%9F%92%A5/dismiss")
    assert stray.status_code in (400, 404)


async def test_without_billing_rights_nobody_sees_a_figure(house: House) -> None:
    member, viewer, reader = (
        await house.caller("member"),
        await house.caller("viewer"),
        await house.caller("viewer", ("billing:read",)),
    )
    await use(house, "70")
    assert [await banners(caller) for caller in (member, viewer)] == [[], []]
    assert await ids(reader) == ["credits.90.1"]
    # All that is left is held: that is no pause, it comes back.
    held = await house.owner.post("/v1/holds", {"amounts": {"credits": 5}})
    assert held.status_code == 201
    assert await banners(member) == []
    await house.owner.post(f"/v1/holds/{held.json()['hold']['id']}/void")
    await use(house, "5")
    for caller in (member, viewer):
        [banner] = await banners(caller)
        assert banner["message"] == "New runs are paused. Ask an owner or admin."
        assert {name for name, value in banner.items() if value is None} == {"unit", "percent", "usedPercent", "action"}
    assert (await member.get("/v1/widget")).status_code == 403


async def test_free_credits_that_expired_stay_on_top_until_something_is_granted(house: House, operator: Caller) -> None:
    grants = (await house.owner.get("/v1/grants")).json()["grants"]
    free = next(grant for grant in grants if grant["unit"] == "credits" and grant["source"] == "free")
    given = {"workspaceUuid": str(house.uuid), "unit": "credits", "amount": 1, "reason": "before"}
    assert (await operator.post("/v1/grants", given)).status_code == 201
    await use(house, "62.5")
    body = {"workspaceUuid": str(house.uuid), "reason": "the trial of our product is over"}
    assert (await operator.post(f"/v1/grants/{free['uuid']}/expire", body)).status_code == 200
    banner = (await banners(house.owner))[0]
    assert (banner["kind"], banner["removable"]) == ("freeExpired", False)
    assert banner["message"] == "Your free credits expired 14 Mar 2026 (12.50 unused)."
    assert banner["action"]["label"] == "Upgrade"
    later = await operator.post(
        "/v1/grants",
        {"workspaceUuid": str(house.uuid), "unit": "credits", "amount": 500, "reason": "bought", "source": "purchase"},
    )
    assert later.status_code == 201
    assert await ids(house.owner) == []


@pytest.fixture
def by_hand(runtime: Runtime) -> Iterator[Settings]:
    """An operator who sells by hand."""
    before = runtime.settings
    runtime.settings = dataclasses.replace(before, support_email="help@example.com")
    yield runtime.settings
    runtime.settings = before


async def test_where_the_operator_sells_by_hand_the_way_on_is_support(house: House, by_hand: Settings) -> None:
    await use(house, "75")
    [banner] = await banners(house.owner)
    assert banner["action"] == {"way": "support", "label": "Contact Support", "url": "mailto:help@example.com"}


async def test_the_widget_has_both_balances_and_what_used_the_credits(house: House) -> None:
    await use(house, "10")
    await report(house, {"id": "g", "type": "guardrail.time", "quantity": "3600", "guardrail": "pii"})
    await use(house, tool_runs=2_500)
    answer = (await house.owner.get("/v1/widget")).json()["widget"]
    balances = (await house.owner.get("/v1/balances")).json()["balances"]
    for shown, balance in zip((answer["credits"], answer["toolRuns"]), balances, strict=True):
        same = ("used", "usedPercent", "posted", "held", "state")
        assert [shown[name] for name in same] == [balance[name] for name in same]
        assert (shown["total"], shown["remaining"]) == (balance["granted"], balance["posted"])
        assert shown["expiresAt"] == (NOW + dt.timedelta(days=90)).isoformat().replace("+00:00", "Z")
    assert (answer["accountId"], answer["icon"], answer["state"]) == (str(house.uuid), "yellow", "moderate")
    used = answer["used"]
    total = sum(Decimal(str(used[name])) for name in ("models", "guardrails", "scripts", "others"))
    assert total == Decimal(str(answer["credits"]["used"]))
    assert (used["models"], used["scripts"], used["others"]) == (0, 0, 10)


@pytest.mark.parametrize(
    ("used", "icon"),
    [
        ("18.74", "green"),
        ("18.75", "yellow"),
        ("56.25", "yellow"),
        ("56.26", "red"),
        ("75", "warning"),
        ("80", "warning"),
    ],
)
async def test_the_icon_is_that_of_the_share_that_is_left(house: House, used: str, icon: str) -> None:
    await use(house, used)
    assert (await house.owner.get("/v1/widget")).json()["widget"]["icon"] == icon

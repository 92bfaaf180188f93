"""Plans, entitlements and the subscription over HTTP: what is offered, who sees to what, what a change answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import pytest

from tests.surfaces.conftest import IDS, Caller, House, new_house

AT: Final = "/v1/billing/subscriptions"


async def contract(house: House, **terms: Any) -> dict[str, Any]:
    """Put a workspace on an Enterprise contract of its own."""
    body = {"plan": "enterprise", "name": "Enterprise", "price": 0, "atZero": "invoice"}
    body |= {"features": {"workspaces": None, "sso": True, "scim": True, "privateCloud": True, "support": "dedicated"}}
    made = await house.operator.post("/v1/plans", body | {"workspaceUuid": str(house.uuid)} | terms)
    assert made.status_code == 201, made.text
    changed = await house.operator.put(f"{AT}/plan", {"plan": "enterprise"})
    assert changed.status_code == 200, changed.text
    plan: dict[str, Any] = made.json()["plan"]
    return plan


async def pro(house: House) -> None:
    changed = await house.operator.put(f"{AT}/plan", {"plan": "pro"})
    assert changed.status_code == 200, changed.text


async def free(house: House) -> None:
    return None


async def enterprise(house: House) -> None:
    await contract(house)


Ask = Callable[[House], Awaitable[Any]]


async def own_another(house: House) -> Any:
    me = (await house.owner.get("/v1/userManagement/users/current")).json()["user"]["email"]
    return await house.operator.post("/v1/workspaces", {"name": "Another", "email": me})


async def run_beyond_quota(house: House) -> Any:
    await _RUNTIME[0].database.run(
        lambda conn: conn.execute("UPDATE billing_period SET runs_started = 1000 WHERE workspace_id = %s", [house.uuid])
    )
    return await house.owner.get("/v1/gate", params={"action": "run"})


_RUNTIME: list[Any] = []


@pytest.fixture(autouse=True)
def _here(runtime: Any) -> None:
    _RUNTIME[:] = [runtime]


async def hold(house: House, **amounts: int) -> Any:
    headers = {"idempotency-key": IDS.secret()}
    return await house.owner.post("/v1/holds", {"amounts": amounts}, headers=headers)


async def hold_credits(house: House) -> Any:
    return await hold(house, credits=5_000)


async def hold_tool_runs(house: House) -> Any:
    return await hold(house, toolRuns=50_000)


async def cap(house: House) -> Any:
    return await house.owner.put(f"{AT}/overageCap", {"credits": 100})


async def overage(house: House) -> Any:
    body = {"creditsOverageBehaviors": [{"unit": "billing.credits", "action": "allow"}]}
    return await house.owner.put(f"{AT}/creditsOverageBehaviors", body)


async def custom_invoice(house: House) -> Any:
    line = {"description": "Onboarding", "unitPrice": 50_000}
    body = {"workspaceUuid": str(house.uuid), "lines": [line], "reason": "contract"}
    return await house.operator.post("/v1/invoices", body)


GATED: Final[Mapping[str, tuple[Any, Any, Ask, str]]] = {
    # entitlement: a plan where the request passes, one where it is refused, the request, the reason
    "workspaces": (pro, free, own_another, "workspaceLimitReached"),
    "runs": (pro, free, run_beyond_quota, "runQuotaReached"),
    "credits": (pro, free, hold_credits, "notEnoughCredits"),
    "toolRuns": (pro, free, hold_tool_runs, "notEnoughToolRuns"),
    "overageCap": (pro, free, cap, "subscriptionNotElligible"),
    "creditsOverage": (enterprise, pro, overage, "subscriptionNotEnterprise"),
    "customInvoices": (enterprise, pro, custom_invoice, "invoiceCustomNotAllowed"),
}


@pytest.mark.parametrize("key", GATED)
async def test_each_gated_entitlement_passes_on_one_plan_and_is_refused_on_another(operator: Caller, key: str) -> None:
    passing, refusing, ask, reason = GATED[key]
    lucky, other = await new_house(operator), await new_house(operator)
    await passing(lucky)
    await refusing(other)
    answer = await ask(lucky)
    assert answer.status_code in (200, 201), answer.text
    answer = await ask(other)
    assert (answer.json()["reason"], answer.status_code >= 400) == (reason, True)


async def test_every_other_entitlement_is_told_to_the_platform(operator: Caller) -> None:
    found: dict[str, dict[str, Any]] = {}
    for name, put in (("free", free), ("pro", pro), ("enterprise", enterprise)):
        house = await new_house(operator)
        await put(house)
        answer = (await house.owner.get("/v1/entitlements")).json()
        found[name] = {one["key"]: (one["value"], one["enforcedBy"]) for one in answer["entitlements"]}
        assert answer["plan"]["plan"] == name
        assert {key for key, (_, by) in found[name].items() if by == "gate"} == set(GATED)
    for key, values in {
        "support": ("community", "email", "dedicated"),
        "sso": (False, False, True),
        "scim": (False, False, True),
        "privateCloud": (False, False, True),
        "integrations": (False, "all", False),
        "workspaces": (1, None, None),
        "runs": (1_000, 100_000, None),
        "credits": (0, 10_000, 0),
        "creditsOverage": (False, False, True),
    }.items():
        assert tuple(found[name][key][0] for name in ("free", "pro", "enterprise")) == values, key


async def test_what_is_used_of_an_entitlement_is_counted(house: House) -> None:
    await pro(house)
    await house.owner.post(
        "/v1/holds", {"amounts": {"credits": 1}, "run": "r1"}, headers={"idempotency-key": IDS.secret()}
    )
    answer = (await house.owner.get("/v1/entitlements")).json()
    used = {one["key"]: one["used"] for one in answer["entitlements"]}
    assert (used["workspaces"], used["runs"], used["credits"], used["support"]) == (1, 1, 0, None)


async def test_a_workspace_sees_what_is_offered_and_its_own_contract_alone(operator: Caller) -> None:
    ours, theirs = await new_house(operator), await new_house(operator)
    plan = await contract(ours, price=500_000, cadence="annual", overagePrice=0.8, trialDays=0)
    assert (plan["overagePrice"], plan["cadence"], plan["workspaceUuid"]) == (0.8, "annual", str(ours.uuid))
    seen = {one["uuid"] for one in (await ours.owner.get("/v1/plans")).json()["plans"]}
    others = {one["uuid"] for one in (await theirs.owner.get("/v1/plans")).json()["plans"]}
    every = {one["uuid"] for one in (await operator.get("/v1/plans")).json()["plans"]}
    assert (plan["uuid"] in seen, plan["uuid"] in others, plan["uuid"] in every) == (True, False, True)
    subscription = (await ours.owner.get(AT)).json()["subscription"]
    assert (subscription["plan"], subscription["cadence"], subscription["fixedPrice"]) == (
        "enterprise",
        "annual",
        500_000,
    )
    assert subscription["creditsOverageBehaviors"] == [{"unit": "billing.credits", "action": "allow"}]


async def test_a_version_is_checked_added_retired_and_never_edited(operator: Caller) -> None:
    key = f"k{IDS.secret()[:8].lower().replace('_', 'a').replace('-', 'b')}"
    body: dict[str, Any] = {"plan": key, "name": "Team", "price": 1_000}
    for wrong, field in (
        ({"price": -1}, "price"),
        ({"plan": "No Key"}, "plan"),
        ({"currency": "dollars"}, "currency"),
        ({"rolloverSharePpm": 2_000_000}, "rolloverSharePpm"),
        ({"features": {"Bad Name": 1}}, "features"),
        ({"features": {"nested": {"a": 1}}}, "features"),
        ({"trialDays": 9_999}, "trialDays"),
        ({"includedCredits": -1}, "includedCredits"),
    ):
        answer = await operator.post("/v1/plans", body | wrong)
        assert (answer.status_code, answer.json()["reason"], answer.json()["details"]["field"]) == (
            400,
            "invalidPlan",
            field,
        )
    first = (await operator.post("/v1/plans", body)).json()["plan"]
    assert (await operator.post("/v1/plans", body)).json()["plan"] == first
    second = (await operator.post("/v1/plans", body | {"price": 1_200})).json()["plan"]
    assert (first["version"], second["version"]) == (1, 2)
    retired = await operator.post(f"/v1/plans/{second['uuid']}/retire", {"reason": "too dear"})
    assert retired.json()["plan"]["retiredAt"] is not None
    moved = await operator.post(f"/v1/plans/{second['uuid']}/migrate", {"reason": "x"})
    assert moved.json()["reason"] == "invalidPlan"
    free_one = next(one for one in (await operator.get("/v1/plans")).json()["plans"] if one["plan"] == "free")
    last = await operator.post(f"/v1/plans/{free_one['uuid']}/retire", {"reason": "x"})
    assert (last.status_code, last.json()["reason"]) == (409, "lastPlanVersion")


async def test_a_preview_says_line_by_line_what_a_change_would_cost_and_changes_nothing(house: House) -> None:
    seen = (await house.owner.put(f"{AT}/plan?preview=true", {"plan": "pro"})).json()["preview"]
    assert (seen["when"], seen["planKey"], seen["fixedPrice"], seen["net"]) == ("now", "pro", 9_900, 9_900)
    assert [(line["description"], line["amount"]) for line in seen["lines"]] == [("Pro plan, 31 of 31 days", 9_900)]
    assert seen["credits"] == 10_000
    before = (await house.owner.get(AT)).json()["subscription"]
    assert (before["planKey"], before["hasPendingChange"]) == ("free", False)
    changed = (await house.owner.put(f"{AT}/plan", {"creditsCount": 10_000, "cadence": "monthly"})).json()
    assert changed["subscription"]["planKey"] == "pro"
    again = await house.owner.put(f"{AT}/plan?preview=true", {"plan": "free"})
    assert (again.json()["preview"]["when"], again.json()["preview"]["total"]) == ("periodEnd", None)


async def test_a_downgrade_is_shown_as_pending_and_taken_back(house: House) -> None:
    await pro(house)
    shown = (await house.owner.put(f"{AT}/plan", {"plan": "free"})).json()["subscription"]
    future = shown["futureChange"]
    assert (shown["hasPendingChange"], shown["planKey"]) == (True, "pro")
    assert (future["change"], future["planKey"], future["effectiveAt"]) == ("downgrade", "free", shown["resetAt"])
    again = await house.owner.put(f"{AT}/plan", {"plan": "free"})
    assert (again.status_code, again.json()["reason"]) == (409, "subscriptionAlreadyInUpdateState")
    kept = (await house.owner.delete(f"{AT}/plan")).json()["subscription"]
    assert (kept["hasPendingChange"], kept["futureChange"]) == (False, None)
    ended = (await house.owner.post(f"{AT}/cancel")).json()["subscription"]
    assert (ended["futureChange"]["change"], ended["endAt"]) == ("cancel", ended["resetAt"])


async def test_a_trial_is_begun_once_and_shown_with_its_end(house: House) -> None:
    shown = (await house.owner.post(f"{AT}/trial")).json()["subscription"]
    assert (shown["subscriptionStatus"], shown["planKey"], shown["trialUsed"]) == ("trialing", "pro", True)
    assert shown["trialEndsAt"] == shown["resetAt"]
    again = await house.owner.post(f"{AT}/trial")
    assert (again.status_code, again.json()["reason"]) == (409, "trialUsed")
    paused = (await house.operator.post(f"{AT}/pause", {"reason": "abuse"})).json()["subscription"]
    assert paused["subscriptionStatus"] == "paused"
    gate = await house.owner.get("/v1/gate", params={"action": "run"})
    assert (gate.status_code, gate.json()["reason"]) == (402, "subscriptionPaused")
    back = (await house.operator.post(f"{AT}/resume", {"reason": "cleared"})).json()["subscription"]
    assert back["subscriptionStatus"] == "trialing"


async def test_an_idempotency_key_makes_one_change_of_many(house: House) -> None:
    headers = {"idempotency-key": IDS.secret()}
    first = await house.owner.put(f"{AT}/plan", {"plan": "pro"}, headers=headers)
    again = await house.owner.put(f"{AT}/plan", {"plan": "pro"}, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    other = await house.owner.put(f"{AT}/plan", {"plan": "free"}, headers=headers)
    assert other.json()["reason"] == "idempotencyConflict"


async def test_closing_a_workspace_ends_its_tokens_and_its_commerce(operator: Caller) -> None:
    house = await new_house(operator)
    held = await hold(house, credits=5)
    assert held.status_code == 201
    made = await operator.post(
        f"/v1/workspaces/{house.uuid}/close", {"boughtCredits": "forfeit", "reason": "asked by the owner"}
    )
    assert made.status_code == 200, made.text
    assert (made.json()["holdsVoided"], made.json()["creditsForfeited"]) == (1, 0)
    assert (await house.owner.get(AT)).status_code == 401
    again = await operator.post(f"/v1/workspaces/{house.uuid}/close", {"boughtCredits": "forfeit", "reason": "x"})
    assert again.status_code == 404
    event = {"specversion": "1.0", "id": "late", "source": "t", "type": "orchestration.execution", "data": {}}
    sent = await operator.post("/v1/events", event | {"subject": str(house.uuid)})
    assert sent.json()["rejected"][0]["reason"] == "workspaceNotFound"

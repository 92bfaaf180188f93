"""Who gets in where: every route × every kind of caller × own and foreign workspace. A route without a row fails.

A row says what the route answers a caller who may; the columns say who may. `foreign` is the owner of another
workspace who selects ours, `revoked` an owner's token after its revocation, `reader` a viewer with `billing:read`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest

from tallystick.surfaces.api.endpoints import Endpoint
from tallystick.surfaces.api.routes import endpoints
from tests.surfaces.conftest import Caller, House, new_house

NOBODY = UUID("00000000-0000-7000-8000-000000000000")

CALLERS: Final = (
    "anonymous",
    "revoked",
    "viewer",
    "member",
    "reader",
    "admin",
    "owner",
    "foreign",
    "operator",
)
EVERYBODY: Final = frozenset(CALLERS)
SIGNED_IN: Final = EVERYBODY - {"anonymous", "revoked", "foreign"}
READERS: Final = frozenset({"reader", "admin", "owner", "operator"})
REPORTERS: Final = frozenset({"member", "admin", "owner", "operator"})
ADMINS: Final = frozenset({"admin", "owner", "operator"})
OPERATOR: Final = frozenset({"operator"})
PEOPLE: Final = SIGNED_IN - OPERATOR


@dataclass(frozen=True)
class Row:
    """`status` is what those in `who` are answered; `path` fills the route's parts; `workspace` in a body is ours."""

    who: frozenset[str]
    status: int
    parts: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    params: Mapping[str, str] = field(default_factory=dict)


WITH_REASON: Final = {"workspaceUuid": "{workspace}", "reason": "test"}
CUSTOM_LINE: Final = {"description": "Work", "unitPrice": 100}
RESOURCE: Final = {"kind": "agent", "key": "writer"}
EVENT: Final = {
    "specversion": "1.0",
    "id": "authorization",
    "source": "test",
    "type": "orchestration.execution",
    "subject": "{workspace}",
    "data": {},
}

TABLE: Final[Mapping[str, Row]] = {
    "get_about": Row(EVERYBODY, 200),
    "get_health": Row(EVERYBODY, 200),
    "get_readiness": Row(EVERYBODY, 200),
    "get_server_metrics": Row(EVERYBODY, 200),
    "get_openapi": Row(EVERYBODY, 200),
    "hear_stripe": Row(EVERYBODY, 404, body={}),
    "get_current_user": Row(SIGNED_IN, 200),
    "get_current_workspace": Row(SIGNED_IN, 200),
    "create_workspace": Row(OPERATOR, 201, body={"name": "Another"}),
    "list_workspaces": Row(OPERATOR, 200),
    "close_workspace": Row(
        OPERATOR, 404, parts={"uuid": str(NOBODY)}, body={"boughtCredits": "forfeit", "reason": "test"}
    ),
    "get_clock": Row(OPERATOR, 404, parts={"uuid": str(NOBODY)}),
    "advance_clock": Row(OPERATOR, 404, parts={"uuid": str(NOBODY)}, body={"to": "2030-01-01T00:00:00Z"}),
    "list_jobs": Row(OPERATOR, 200),
    "create_grant": Row(
        OPERATOR, 201, body={"workspaceUuid": "{workspace}", "unit": "credits", "amount": 1, "reason": "test"}
    ),
    "list_grants": Row(READERS, 200),
    "expire_grant": Row(
        OPERATOR, 404, parts={"id": str(NOBODY)}, body={"workspaceUuid": "{workspace}", "reason": "test"}
    ),
    "adjust_credits": Row(
        OPERATOR, 201, body={"workspaceUuid": "{workspace}", "unit": "credits", "amount": -1, "reason": "test"}
    ),
    "get_limits": Row(READERS, 200),
    "put_limits": Row(OPERATOR, 200, body={"reason": "test"}),
    "list_audit_entries": Row(READERS, 200),
    "list_members": Row(ADMINS, 200),
    "add_member": Row(ADMINS, 201, body={"email": "{caller}@authorization.example", "role": "viewer"}),
    "change_member": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={"role": "viewer"}),
    "remove_member": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "create_token": Row(ADMINS, 201, body={"name": "made"}),
    "list_tokens": Row(ADMINS, 200),
    "revoke_token": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "put_resource": Row(ADMINS, 200, parts=RESOURCE, body={"name": "Writer"}),
    "get_resource": Row(READERS, 200, parts=RESOURCE),
    "list_resources": Row(READERS, 200, parts={"kind": "agent"}),
    "list_teams": Row(READERS, 200),
    "list_projects": Row(READERS, 200),
    "list_prices": Row(READERS, 200),
    "add_price": Row(OPERATOR, 400, body={"target": "tool.call", "model": "nonsense", "rates": {}, "reason": "test"}),
    "list_plans": Row(READERS, 200),
    "add_plan": Row(OPERATOR, 400, body={"plan": "pro", "name": "", "price": 1}),
    "retire_plan": Row(OPERATOR, 404, parts={"uuid": str(NOBODY)}, body={"reason": "test"}),
    "migrate_plan": Row(OPERATOR, 404, parts={"uuid": str(NOBODY)}, body={"reason": "test"}),
    "get_entitlements": Row(READERS, 200),
    "change_plan": Row(ADMINS, 409, body={"plan": "none-such"}),
    "revoke_change": Row(ADMINS, 200),
    "cancel_subscription": Row(ADMINS, 409),
    "start_trial": Row(ADMINS, 409, body={"plan": "none-such"}),
    "pause_subscription": Row(OPERATOR, 400, body={"reason": ""}),
    "resume_subscription": Row(OPERATOR, 409, body={"reason": "test"}),
    "put_overage_behaviors": Row(
        ADMINS, 409, body={"creditsOverageBehaviors": [{"unit": "billing.credits", "action": "allow"}]}
    ),
    "put_overage_cap": Row(ADMINS, 409, body={"credits": 5}),
    "list_subscription_invoices": Row(READERS, 200),
    "list_invoices": Row(READERS, 200),
    "get_upcoming_invoice": Row(READERS, 200),
    "get_invoice": Row(READERS, 404, parts={"id": str(NOBODY)}),
    "create_invoice": Row(OPERATOR, 409, body={"workspaceUuid": "{workspace}", "lines": [CUSTOM_LINE]}),
    "void_invoice": Row(OPERATOR, 404, parts={"id": str(NOBODY)}, body=WITH_REASON),
    "write_off_invoice": Row(OPERATOR, 404, parts={"id": str(NOBODY)}, body=WITH_REASON),
    "credit_invoice": Row(OPERATOR, 404, parts={"id": str(NOBODY)}, body=WITH_REASON),
    "list_meters": Row(READERS, 200),
    "get_receipt": Row(READERS, 404, parts={"run": "run-1"}),
    "refund_run": Row(OPERATOR, 404, parts={"run": "run-1"}, body={"reason": "test"}),
    "get_estimate": Row(READERS, 200, params={"records": "10"}),
    "simulate": Row(READERS, 404, body={"run": "run-1", "levers": {}}),
    "add_meter": Row(
        OPERATOR,
        400,
        body={"type": "Not a type", "category": "other", "slug": "x", "unit": "x", "reason": "test"},
    ),
    "record_events": Row(REPORTERS, 200, body=EVENT),
    "record_events_compatible": Row(REPORTERS, 200, body=EVENT),
    "import_events": Row(ADMINS, 200, parts={"name": "history"}, body=EVENT),
    "get_metrics": Row(READERS, 200, params={"from": "2026-03-01", "to": "2026-03-14"}),
    "get_usage_report": Row(READERS, 200, params={"from": "2026-03-01", "to": "2026-03-14"}),
    "get_balances": Row(READERS, 200),
    "list_banners": Row(SIGNED_IN, 200),
    "dismiss_banner": Row(READERS, 404, parts={"id": "credits.20.99"}),
    "get_widget": Row(READERS, 200),
    "place_hold": Row(REPORTERS, 201, body={"amounts": {"credits": 0}}),
    "settle_hold": Row(REPORTERS, 404, parts={"id": str(NOBODY)}, body={"amounts": {"credits": 0}}),
    "void_hold": Row(REPORTERS, 404, parts={"id": str(NOBODY)}),
    "extend_hold": Row(REPORTERS, 404, parts={"id": str(NOBODY)}, body={"expiresInSeconds": 60}),
    "get_hold": Row(READERS | REPORTERS, 404, parts={"id": str(NOBODY)}),
    "list_holds": Row(READERS | REPORTERS, 200),
    "get_gate": Row(READERS | REPORTERS, 200, params={"action": "run"}),
    "create_budget": Row(
        ADMINS, 201, body={"name": "{caller}", "scope": "workspace", "per": "day", "amount": 1_000_000}
    ),
    "list_budgets": Row(READERS, 200),
    "get_budget": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "change_budget": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={"amount": 1}),
    "delete_budget": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "create_webhook": Row(ADMINS, 201, body={"url": "https://{caller}.example/tally"}),
    "list_webhooks": Row(READERS, 200),
    "list_webhook_kinds": Row(READERS, 200),
    "get_webhook": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "change_webhook": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={"enabled": False}),
    "delete_webhook": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "rotate_webhook_secret": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "send_webhook_test": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "list_webhook_deliveries": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "replay_webhook": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={"since": "2026-01-01T00:00:00Z"}),
    "get_webhook_delivery": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "replay_webhook_delivery": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "create_fine_tuning_job": Row(ADMINS, 201, body={"baseModel": "base", "trainingTokens": 1, "complexity": "small"}),
    "list_fine_tuning_jobs": Row(READERS, 200),
    "get_fine_tuning_job": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "report_fine_tuning_job": Row(
        ADMINS,
        404,
        parts={"uuid": str(NOBODY)},
        body={"status": "failed", "trainingTokens": 0, "epochs": 0},
    ),
    "create_deployment": Row(ADMINS, 201, body={"kind": "tool", "resource": "{caller}", "deployed": True}),
    "import_deployments": Row(
        ADMINS, 201, body={"deployments": [{"kind": "script", "resource": "{caller}", "draft": True}]}
    ),
    "list_deployments": Row(READERS, 200),
    "get_deployment": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "deploy_deployment": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={}),
    "report_deployment": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={"status": "succeeded"}),
    "scale_deployment": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={"replicas": 2}),
    "undeploy_deployment": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}, body={}),
    "confirm_deployment": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "delete_deployment": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "list_hardware_profiles": Row(READERS, 200),
    "put_hardware_profile": Row(
        OPERATOR, 400, parts={"key": "no good"}, body={"kind": "script", "name": "x", "vcpus": 1, "memoryGb": 1}
    ),
    "list_facts": Row(READERS, 200),
    "list_mails": Row(ADMINS, 200),
    "get_mail": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "retry_mail": Row(OPERATOR, 404, parts={"uuid": str(NOBODY)}),
    "get_preferences": Row(PEOPLE, 200),
    "put_preferences": Row(PEOPLE, 200, body={"billing": True}),
    "get_invoice_pdf": Row(READERS, 404, parts={"id": str(NOBODY)}),
    "get_invoice_xml": Row(READERS, 404, parts={"id": str(NOBODY)}),
    "create_invoice_link": Row(READERS, 404, parts={"id": str(NOBODY)}),
    "open_invoice_link": Row(EVERYBODY, 404, parts={"link": "none.ours"}),
    "get_subscription": Row(READERS, 200),
    "buy_credits": Row(ADMINS, 200, body={"credits": 100}, params={"preview": "true"}),
    "create_credits_checkout_session": Row(ADMINS, 201),
    "get_checkout_page": Row(EVERYBODY, 404, parts={"token": "nonsense"}),
    "post_checkout_page": Row(EVERYBODY, 404, parts={"token": "nonsense"}),
    "list_purchases": Row(READERS, 200),
    "get_purchase": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "refund_purchase": Row(
        OPERATOR, 404, parts={"uuid": str(NOBODY)}, body={"workspaceUuid": "{workspace}", "reason": "test"}
    ),
    "put_topup": Row(ADMINS, 200, body={"enabled": False}),
    "get_topup": Row(READERS, 200),
    "get_revenue": Row(OPERATOR, 200),
    "get_credit_card": Row(READERS, 200),
    "create_portal_session": Row(ADMINS, 201),
    "create_setup_intent": Row(ADMINS, 409),
    "put_payment_method": Row(ADMINS, 404, body={"paymentMethodId": "pm_1"}),
    "list_payments": Row(READERS, 200),
    "get_billing_account": Row(READERS, 200),
    "put_billing_account": Row(ADMINS, 200, body={"legalName": "{caller}"}),
    "create_payment": Row(OPERATOR, 404, parts={"id": str(NOBODY)}, body={}),
    "create_refund": Row(OPERATOR, 404, parts={"uuid": str(NOBODY)}, body={"reason": "test"}),
    "import_statement": Row(OPERATOR, 415, body={}),
    "list_bank_transactions": Row(OPERATOR, 200),
    "match_bank_transaction": Row(
        OPERATOR, 404, parts={"id": "none"}, body={"workspaceUuid": "{workspace}", "invoiceUuid": str(NOBODY)}
    ),
    "get_page_style": Row(EVERYBODY, 200),
    "get_payment_page": Row(EVERYBODY, 404, parts={"token": "none.none"}),
    "put_payment_page": Row(EVERYBODY, 404, parts={"token": "none.none"}),
    "list_plays": Row(READERS, 200),
    "list_tools": Row(READERS, 200),
    "list_workflows": Row(READERS, 200),
    "list_agents": Row(READERS, 200),
    "list_connectors": Row(READERS, 200),
    "list_models": Row(READERS, 200),
    "put_workflow": Row(ADMINS, 400, parts={"key": "writer"}, body={"nodes": []}),
    "get_workflow": Row(READERS, 404, parts={"key": "nothing"}),
    "create_run": Row(ADMINS, 404, body={"workflowUuid": str(NOBODY)}),
    "get_run": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "list_runs": Row(READERS, 200, body={}),
    "cancel_runs": Row(ADMINS, 404, body={"uuid": str(NOBODY)}),
    "create_batch": Row(ADMINS, 404, body={"workflowUuid": str(NOBODY), "data": [{}]}),
    "get_batch": Row(READERS, 404, parts={"uuid": str(NOBODY)}),
    "list_batches": Row(READERS, 200),
    "cancel_batch": Row(ADMINS, 404, parts={"uuid": str(NOBODY)}),
    "claim_runs": Row(ADMINS, 200, body={"runner": "test"}),
    "put_execution": Row(
        ADMINS,
        409,
        parts={"uuid": str(NOBODY), "execution": str(NOBODY)},
        body={"nodeUuid": str(NOBODY), "status": "running", "lease": "none"},
    ),
    "send_heartbeat": Row(ADMINS, 409, parts={"uuid": str(NOBODY)}, body={"lease": "none"}),
    "finish_run": Row(ADMINS, 409, parts={"uuid": str(NOBODY)}, body={"status": "success", "lease": "none"}),
}

ENDPOINTS: Final = {endpoint.operation: endpoint for endpoint in endpoints()}


@pytest.fixture(scope="module")
async def house(operator: Caller) -> House:
    house = await new_house(operator)
    assert (await house.owner.put("/v1/resources/agent/writer", {"name": "Writer"})).status_code == 201
    return house


@pytest.fixture(scope="module")
async def callers(house: House, operator: Caller, http: httpx2.AsyncClient) -> dict[str, Caller]:
    made = (await house.owner.post("/v1/workspaceManagement/tokens", {"name": "revoked"})).json()["token"]
    assert (await house.owner.delete(f"/v1/workspaceManagement/tokens/{made['uuid']}")).status_code == 200
    stranger = await new_house(operator)
    return {
        "anonymous": Caller(http, ""),
        "revoked": Caller(http, made["token"]),
        "viewer": await house.caller("viewer"),
        "member": await house.caller("member"),
        "reader": await house.caller("viewer", ("billing:read",)),
        "admin": await house.caller("admin"),
        "owner": house.owner,
        "foreign": Caller(http, stranger.owner.token, house.uuid),
        "operator": house.operator,
    }


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(TABLE) == set(ENDPOINTS)


def test_no_two_routes_share_a_name_or_an_address() -> None:
    every = endpoints()
    assert len(ENDPOINTS) == len(every)
    assert len({(endpoint.method, endpoint.path) for endpoint in every}) == len(every)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", sorted(TABLE))
async def test_a_caller_gets_in_where_the_table_says(
    operation: str, caller: str, callers: dict[str, Caller], house: House
) -> None:
    row, endpoint = TABLE[operation], ENDPOINTS[operation]
    answer = await send(endpoint, row, callers[caller], caller, house)
    if caller in row.who:
        assert answer.status_code == row.status, answer.text
    elif caller in ("anonymous", "revoked"):
        assert (answer.status_code, answer.content) == (401, b'{"errorMessage":"unauthorized"}')
    else:
        assert (answer.status_code, answer.content) == (403, b'{"errorMessage":"forbidden"}')


@pytest.mark.parametrize(
    "operation", sorted(name for name, endpoint in ENDPOINTS.items() if endpoint.guard.in_workspace)
)
async def test_an_operator_has_to_name_the_workspace(operation: str, house: House) -> None:
    nameless = Caller(house.operator.http, house.operator.token)
    answer = await send(ENDPOINTS[operation], TABLE[operation], nameless, "nameless", house)
    assert (answer.status_code, answer.json()["reason"]) == (400, "workspaceRequired")


@pytest.mark.parametrize("operation", sorted(name for name, e in ENDPOINTS.items() if e.guard.who != "anyone"))
async def test_a_workspace_that_does_not_exist_is_told_to_operators_only(operation: str, house: House) -> None:
    endpoint, row = ENDPOINTS[operation], TABLE[operation]
    for token, expected in ((house.operator.token, 404), (house.owner.token, 403)):
        answer = await send(endpoint, row, Caller(house.owner.http, token, NOBODY), "lost", house)
        assert answer.status_code == expected, answer.text


async def test_what_belongs_to_another_workspace_is_not_found(house: House, operator: Caller) -> None:
    stranger = await new_house(operator)
    token = (await stranger.owner.get("/v1/workspaceManagement/tokens/list")).json()["tokens"][0]["uuid"]
    person = (await stranger.owner.get("/v1/userManagement/users/current")).json()["user"]["uuid"]
    team = (await stranger.owner.put("/v1/resources/team/red", {"name": "Red"})).json()["resource"]["uuid"]
    for method, path, body in (
        ("DELETE", f"/v1/workspaceManagement/tokens/{token}", None),
        ("DELETE", f"/v1/workspaceManagement/members/{person}", None),
        ("PUT", f"/v1/workspaceManagement/members/{person}", {"role": "viewer"}),
        ("POST", "/v1/workspaceManagement/tokens", {"name": "theirs", "userUuid": person}),
        ("GET", f"/v1/resources/team/{team}", None),
    ):
        answer = await house.owner.send(method, path, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
    assert (await stranger.owner.get("/v1/userManagement/users/current")).status_code == 200


async def test_an_event_about_another_workspace_is_rejected_unless_an_operator_sends_it(
    house: House, operator: Caller
) -> None:
    stranger = await new_house(operator)
    for subject in (str(house.uuid), "no-such-workspace"):
        answer = await stranger.owner.post("/v1/events", EVENT | {"subject": subject, "id": "theirs"})
        assert (answer.status_code, answer.json()["accepted"], len(answer.json()["rejected"])) == (200, 0, 1)
    sent = await Caller(operator.http, operator.token).post(
        "/v1/events", EVENT | {"subject": str(house.uuid), "id": "ours"}
    )
    assert sent.json()["accepted"] == 1


async def send(endpoint: Endpoint, row: Row, caller: Caller, name: str, house: House) -> httpx2.Response:
    path = endpoint.path.replace(":path}", "}").format(**row.parts)
    body = _filled(row.body, {"{workspace}": str(house.uuid), "{caller}": name})
    headers = {} if caller.token else {"authorization": ""}
    return await caller.send(endpoint.method, path, json=body, params=dict(row.params), headers=headers)


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(member, words) for name, member in value.items()}
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
    return value

"""Workspaces with a test clock, called over HTTP. The machine's clock stands still at NOW."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import pytest

from tallystick.domain.identity.rights import PERMISSIONS, Principal
from tallystick.flows import accounts, prices, workspaces
from tallystick.flows.workspaces import NewWorkspace
from tallystick.runtime import Runtime
from tests import bills, make
from tests.bills import CARD, CardHouse
from tests.surfaces.conftest import IDS, Caller, http, operator, runtime

__all__ = ["Era", "eras", "http", "operator", "runtime"]

LONG_AGO = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
_exact = msgspec.json.Decoder(float_hook=Decimal)


@dataclass
class Era:
    """A workspace on a clock of its own, its owner's token, and the operator who moves the clock."""

    uuid: UUID
    owner: Caller
    operator: Caller
    runtime: Runtime

    async def to(self, instant: dt.datetime | str) -> dt.datetime:
        """Move the clock there; where it stands then."""
        text = instant if isinstance(instant, str) else instant.isoformat()
        moved = await self.operator.post(f"/v1/workspaces/{self.uuid}/clock", {"to": text})
        assert moved.status_code == 200, moved.text
        return dt.datetime.fromisoformat(moved.json()["clock"]["at"])

    async def grant(self, amount: int, ends: dt.datetime | None = None, **terms: Any) -> None:
        body = {"workspaceUuid": str(self.uuid), "unit": "credits", "amount": amount, "reason": "test"} | terms
        given = await self.operator.post("/v1/grants", body | {"expiresAt": ends.isoformat() if ends else None})
        assert given.status_code == 201, given.text

    async def use(self, amount: int, key: str, at: dt.datetime | None = None) -> dict[str, Any]:
        """One direct charge; its answer."""
        event = {
            "specversion": "1.0",
            "id": key,
            "source": "test",
            "type": "direct.charge",
            "subject": str(self.uuid),
            "data": {"quantity": amount},
        }
        if at is not None:
            event["time"] = at.isoformat()
        sent = await self.owner.post("/v1/events", event)
        assert sent.status_code == 200, sent.text
        answer: dict[str, Any] = sent.json()
        return answer

    async def hold(self, amount: int, seconds: int, key: str) -> dict[str, Any]:
        placed = await self.owner.post(
            "/v1/holds",
            {"amounts": {"credits": amount}, "expiresInSeconds": seconds},
            headers={"idempotency-key": key},
        )
        assert placed.status_code == 201, placed.text
        found: dict[str, Any] = placed.json()["hold"]
        return found

    async def credits(self) -> dict[str, Decimal]:
        """posted, held, used and the like, exact."""
        answer = await self.owner.get("/v1/balances")
        assert answer.status_code == 200, answer.text
        return next(one for one in _exact.decode(answer.content)["balances"] if one["unit"] == "credits")

    async def posted(self) -> Decimal:
        return (await self.credits())["posted"]

    async def subscription(self) -> dict[str, Any]:
        answer = await self.owner.get("/v1/billing/subscriptions")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["subscription"]
        return found

    async def history(self) -> list[dict[str, Any]]:
        """All that its ledger says, without ids: what, when, how much."""
        return await make.rows(
            self.runtime.database,
            "SELECT t.unit, t.seq, t.kind, t.effective_at, t.key LIKE 'reset%%' AS is_reset, e.account, e.amount,"
            " e.balance_after FROM ledger_transaction AS t JOIN ledger_entry AS e USING (workspace_id, unit, seq)"
            " WHERE workspace_id = %s ORDER BY t.unit, t.seq, e.position",
            self.uuid,
        )


class Eras:
    """Makes them. Over HTTP where the plan is Free, as an operator would."""

    def __init__(self, runtime: Runtime, operator: Caller) -> None:
        self._runtime = runtime
        self.operator = operator
        self.database = runtime.database
        self.billing = runtime.billing

    async def born(self, at: dt.datetime, *, plan: str = "free", zone: str = "UTC", pays: bool = True) -> Era:
        """A workspace without any grant but its plan's; where that costs something, a card that pays is on file."""
        if plan == "free":
            body = {"name": "Era", "zone": zone, "grants": [], "clock": at.isoformat()}
            made = await self.operator.post("/v1/workspaces", body)
            assert made.status_code == 201, made.text
            uuid, token = UUID(made.json()["workspace"]["uuid"]), made.json()["adminToken"]
        else:
            token = f"tally_{IDS.secret()}"
            principal = Principal("operator", IDS.new(at), "test", None, None, None, PERMISSIONS)
            created = await workspaces.create(
                self._runtime.database,
                NewWorkspace("Era", (), zone=zone, plan=plan, clock=at),
                principal=principal,
                text=token,
                request=None,
                now=at,
                ids=IDS,
            )
            uuid = created.workspace.id
            if pays:
                given = {"actor": "test", "now": at, "ids": IDS}
                await accounts.ensure_customer(self.database, self.billing, uuid, now=at, ids=IDS)
                await accounts.set_method(self.database, self.billing, uuid, CARD, **given)
        return Era(uuid, Caller(self.operator.http, token), self.operator, self._runtime)


@pytest.fixture(scope="session")
async def shipped(runtime: Runtime) -> Runtime:
    """The shipped prices are in force in every year that a test visits; cards are charged by a house of cards."""
    runtime.billing = bills.billing(CardHouse(), payment_provider="stripe")
    await prices.ship_catalog(runtime.database, LONG_AGO)
    return runtime


@pytest.fixture
def eras(shipped: Runtime, operator: Caller, http: httpx2.AsyncClient) -> Eras:
    return Eras(shipped, operator)

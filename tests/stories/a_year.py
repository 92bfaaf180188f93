"""Telling a customer's commercial life on a test clock: calls over HTTP, a house of cards that pays or declines."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx2

from tallystick.domain.telling import figures
from tallystick.runtime import Runtime
from tests.bills import CardHouse
from tests.stories.running_dry import Tale
from tests.telling.receiver import Receiver

_BILLING = "/v1/billing/subscriptions"
_SHOWN = ("nextAttemptAt", "stopsAt", "effectiveAt", "trialEndsAt", "dueAt", "errorMessage", "reason")
_MARGIN = " " * 22


class Year(Tale):
    """A tale of money: what was told and mailed, how the subscription stands, and every invoice when it is issued."""

    def __init__(self, runtime: Runtime, http: httpx2.AsyncClient, receiver: Receiver, title: str, zone: str) -> None:
        super().__init__(runtime, http, receiver, title)
        self.house = CardHouse()
        self._zone = zone
        self._standing = ""
        self._invoices: dict[str, str] = {}
        settings = dataclasses.replace(runtime.settings, payment_provider="stripe")
        providers = dict(runtime.billing.providers) | {self.house.name: self.house}
        runtime.billing = dataclasses.replace(runtime.billing, settings=settings, providers=providers)

    async def operate(self, method: str, path: str, body: Any, *, status: int = 200) -> Any:
        """Ask as the operator, about no workspace or the one that the body names."""
        headers = {"authorization": f"Bearer {self._operator}"}
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def credit(self, number: str, amount: int, reason: str) -> None:
        """The operator credits so much of an invoice, tax included."""
        found = (await self.call("GET", "/v1/invoices"))["invoices"]
        [invoice] = [one for one in found if one["number"] == number]
        body = {"workspaceUuid": str(self.uuid), "amount": amount, "reason": reason}
        await self.operate("POST", f"/v1/invoices/{invoice['id']}/credit", body, status=201)
        await self.told()

    async def card(self, method: str) -> None:
        """The owner puts a card on file."""
        await self.call("POST", f"{_BILLING}/setupIntent", status=201)
        await self.call("PUT", f"{_BILLING}/paymentMethod", {"paymentMethodId": method})
        await self.told()

    async def plan(self, body: Mapping[str, Any]) -> None:
        """What a change would cost, then the change."""
        preview = (await self.call("PUT", f"{_BILLING}/plan?preview=true", body))["preview"]
        when = f"{preview['when']}, {self._at(preview['effectiveAt'])}"
        today = f", today {_money(preview['total'], preview['currency'])} with tax" if preview["total"] else ""
        self._line("preview", f"{preview['planName']} ({preview['cadence']}): {when}{today}")
        await self.call("PUT", f"{_BILLING}/plan", body)
        await self.told()

    async def pass_by(self, instant: str) -> None:
        """Time in which nothing special happens: of what was told, the invoices and how many mails there were."""
        await self.call("POST", f"/v1/workspaces/{self.uuid}/clock", {"to": instant})
        await self._work()
        mails = await self._mails()
        self._webhooks()
        for one in sorted((await self.call("GET", "/v1/invoices"))["invoices"], key=lambda one: one["number"] or ""):
            if one["number"] and one["id"] not in self._invoices:
                period = f"{self._day(one['periodStart'])} to {self._day(one['periodEnd'])}"
                amount = _money(one["amount"], one["currency"])
                self._line(
                    "invoice", f"{one['number']}  {self._at(one['issuedAt'])}  {period}  {amount}  {one['status']}"
                )
                self._invoices[one["id"]] = f"{one['status']} {one['openAmount']}"
        self._line("mails", str(sum(map(len, mails.values()))))
        await self._look_at_standing()

    async def run_asks(self) -> None:
        """A new run asks whether it may start."""
        headers = {"authorization": f"Bearer {self._owner}"}
        answer = (await self.http.get("/v1/gate?action=run", headers=headers)).json()
        refused = f"{answer.get('reason')}: {answer.get('errorMessage')}"
        self._line("gate", "a new run may start" if answer.get("allowed") else refused)

    async def told(self) -> None:
        """The worker's jobs; then what was posted and mailed, the invoices that changed, the standing and banners."""
        await self._work()
        mails = await self._mails()
        for fact, body in self._webhooks():
            if body["type"].startswith(("credits.threshold", "tool_runs.", "credits.granted", "credits.expired")):
                continue
            self._line("fact", f"{self._at(body['timestamp'])}  {body['type']}{self._said(body['data'])}")
            for mail in mails.pop(fact, []):
                self._line("mail", mail)
        assert not mails, mails
        await self._look_at_invoices()
        await self._look_at_standing()

    async def _look_at_invoices(self) -> None:
        found = (await self.call("GET", "/v1/invoices"))["invoices"]
        for one in sorted(found, key=lambda one: one["number"] or ""):
            if one["number"] is None:
                continue
            state = f"{one['status']} {one['openAmount']}"
            if one["id"] not in self._invoices:
                self._tell_invoice((await self.call("GET", f"/v1/invoices/{one['id']}"))["invoice"])
            elif state != self._invoices[one["id"]]:
                self._line(
                    "invoice", f"{one['number']} is {one['status']}, {_money(one['openAmount'], one['currency'])} open"
                )
            self._invoices[one["id"]] = state

    def _tell_invoice(self, one: Mapping[str, Any]) -> None:
        currency = one["currency"]
        period = f", {self._day(one['periodStart'])} to {self._day(one['periodEnd'])}" if one["periodStart"] else ""
        kind = "CREDIT NOTE" if one["kind"] == "credit_note" else "INVOICE"
        self.lines.append(f"{_MARGIN}+-- {kind} {one['number']}, {self._at(one['issuedAt'])}{period}, {one['status']}")
        for line in one["lines"]:
            used = f" ({figures.amount(_nano(line['credits']))} credits)" if line["credits"] is not None else ""
            self.lines.append(f"{_MARGIN}|   {line['description'] + used:<74.74}{_money(line['amount'], currency):>12}")
        for tax in one["taxes"]:
            name = f"{tax['name']} {tax['rate']} % of {_money(tax['base'], currency)}"
            self.lines.append(f"{_MARGIN}|   {name:<74}{_money(tax['amount'], currency):>12}")
        self.lines.append(f"{_MARGIN}+-- {'total':<74}{_money(one['amount'], currency):>12}")

    async def _look_at_standing(self) -> None:
        found = (await self.call("GET", _BILLING))["subscription"]
        change = found["futureChange"]
        coming = f", then {change['change']} to {change['planKey']}" if change else ""
        standing = f"{found['planKey']}, {found['subscriptionStatus']}, until {self._at(found['resetAt'])}{coming}"
        if standing != self._standing:
            self._line("plan", standing)
            self._standing = standing
        banners = [one["message"] for one in (await self.call("GET", "/v1/banners"))["banners"] if one["unit"] is None]
        if banners != self._banners:
            for text in banners or ["none"]:
                self._line("banner", text)
            self._banners = banners

    def _said(self, data: Mapping[str, Any]) -> str:
        """What a fact says to people."""
        found = []
        if isinstance(data.get("amount"), int | Decimal) and data.get("currency"):
            found.append(_money(int(data["amount"]), data["currency"]))
        for key in ("number", "invoiceNumber", "change"):
            if data.get(key):
                found.append(str(data[key]))
        if isinstance(data.get("method"), Mapping):
            method = data["method"]
            found.append(f"{method['brand']} {method['last4']}, {method['expMonth']}/{method['expYear']}")
        if isinstance(data.get("plan"), Mapping):
            found.append(f"{data['plan']['name']} {data['plan']['cadence']}")
        for key in _SHOWN:
            if data.get(key):
                value = self._at(data[key]) if key.endswith("At") else data[key]
                found.append(f"{key} {value}")
        return f"  {', '.join(found)}" if found else ""

    def _at(self, instant: str) -> str:
        return dt.datetime.fromisoformat(instant).astimezone(ZoneInfo(self._zone)).strftime("%Y-%m-%d %H:%M")

    def _day(self, instant: str) -> str:
        return self._at(instant)[:10]


def _money(minor: int, currency: str) -> str:
    return figures.money(int(minor), currency)


def _nano(amount: Any) -> int:
    return int(Decimal(str(amount)) * 10**9)

"""Our own payment page: who gets in, what it shows, that it can be used in Chromium, and what a form may do."""

import datetime as dt
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest

from tallystick.domain.billing.references import creditor_reference, shown
from tallystick.flows import links
from tallystick.flows.links import Link
from tallystick.runtime import Runtime
from tests import bills
from tests.make import IDS
from tests.surfaces.conftest import NOW, Caller, House

MINUTE = dt.timedelta(minutes=1)
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def portal(caller: Caller) -> str:
    made = await caller.post("/v1/billing/subscriptions/portalSessions")
    assert made.status_code == 201, made.text
    url: str = made.json()["portalSession"]["url"]
    assert url.startswith("http://tally.test/pay/")
    return urlsplit(url).path


async def test_what_is_owed_and_how_to_pay_it_is_on_the_page(house: House, runtime: Runtime) -> None:
    first = await bills.owed(runtime.database, house.uuid, 9_900, NOW, status="past_due")
    second = await bills.owed(runtime.database, house.uuid, 1_250, NOW, paid_minor=250)
    page = await house.owner.http.get(await portal(house.owner))
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    text = unescape(page.text)
    for expected in ("$109.00", "$99.00", "$10.00", "Past due", first.number, second.number):
        assert expected is not None and expected in text
    assert shown(creditor_reference(str(first.number))) in text


async def test_a_page_loads_nothing_but_its_style_and_runs_nothing(house: House) -> None:
    page = await house.owner.http.get(await portal(house.owner))
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy and "unsafe" not in policy
    assert "<script" not in page.text and "style=" not in page.text and " on" not in re.sub(r">[^<]*<", "><", page.text)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page.text)) == {"/pages/pages.css", "#main", "data:,"}
    style = await house.owner.http.get("/pages/pages.css")
    assert style.headers["content-type"].startswith("text/css") and "url(" not in style.text


async def test_names_are_escaped_wherever_they_are_shown(house: House, runtime: Runtime) -> None:
    nasty = "\"><script>alert(1)</script>&'{{7*7}}"
    put = await house.owner.put("/v1/billing/account", {"legalName": nasty, "purchaseOrder": nasty})
    assert put.status_code == 200, put.text
    await bills.owed(runtime.database, house.uuid, 9_900, NOW, number=f"T-<b>{IDS.secret()[:5]}")
    page = await house.owner.http.get(await portal(house.owner))
    assert "<script>" not in page.text and "<b>" not in page.text and "49" not in page.text
    assert nasty in unescape(page.text)


@pytest.mark.parametrize("break_it", ["cut", "signature", "content", "purpose", "nothing"])
async def test_what_is_not_our_link_opens_nothing(house: House, runtime: Runtime, break_it: str) -> None:
    path = await portal(house.owner)
    text = path.removeprefix("/pay/")
    content, _, mac = text.partition(".")
    broken = {
        "cut": text[:-1],
        "signature": f"{content}.{'A' * len(mac)}",
        "content": f"{content[:-2]}AA.{mac}",
        "purpose": await links.sign(runtime.database, Link("other", house.uuid, NOW + MINUTE), now=NOW, ids=IDS),
        "nothing": "none",
    }[break_it]
    page = await house.owner.http.get(f"/pay/{broken}")
    assert page.status_code == 404 and "This link is not valid" in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_link_expires(house: House, runtime: Runtime) -> None:
    text = await links.sign(runtime.database, Link("payment", house.uuid, NOW), now=NOW - MINUTE, ids=IDS)
    page = await house.owner.http.get(f"/pay/{text}")
    assert page.status_code == 410 and "expired" in page.text


async def test_a_link_is_good_for_a_quarter_of_an_hour(house: House, runtime: Runtime) -> None:
    text = (await portal(house.owner)).removeprefix("/pay/")
    found = await links.check(runtime.database, text, "payment", now=NOW + 15 * MINUTE - dt.timedelta(seconds=1))
    assert (found.workspace_id, found.expires_at) == (house.uuid, NOW + 15 * MINUTE)
    with pytest.raises(Exception, match="expired"):
        await links.check(runtime.database, text, "payment", now=NOW + 15 * MINUTE)


async def test_billing_details_are_changed_by_the_form_and_it_says_so(house: House) -> None:
    path = await portal(house.owner)
    http = house.owner.http
    sent = await http.post(path, content=await form(http, path, legalName="Acme GmbH", country="de"), headers=FORM)
    assert (sent.status_code, sent.headers["location"]) == (303, f"{path}?saved=1")
    page = await http.get(sent.headers["location"])
    assert "Saved." in page.text and 'value="Acme GmbH"' in page.text and 'value="DE"' in page.text
    account = (await house.owner.get("/v1/billing/account")).json()["account"]
    assert (account["legalName"], account["country"]) == ("Acme GmbH", "DE")
    log = (await house.owner.get("/v1/audit")).json()["entries"]
    assert [one["actor"] for one in log if one["action"] == "billing.detailsChanged"] == ["link:payment"]


async def test_what_is_wrong_is_named_and_what_was_typed_is_kept(house: House) -> None:
    path = await portal(house.owner)
    http = house.owner.http
    typed = await form(http, path, legalName="Kept", country="Germany")
    page = await http.post(path, content=typed, headers=FORM)
    assert page.status_code == 400 and "<strong>Error:</strong>" in page.text
    assert 'value="Kept"' in page.text and re.search(r'name="country"[^>]*aria-invalid="true"', page.text)
    assert (await house.owner.get("/v1/billing/account")).json()["account"]["legalName"] == ""


async def test_a_form_without_the_pages_own_signature_changes_nothing(house: House, operator: Caller) -> None:
    from tests.surfaces.conftest import new_house

    path = await portal(house.owner)
    http = house.owner.http
    other = await portal((await new_house(operator)).owner)
    foreign = dict(await fields(http, other))["token"]
    for token in ("", "none.none", foreign, path.removeprefix("/pay/")):
        sent = await http.post(path, content=urlencode({"token": token, "legalName": "Stolen"}), headers=FORM)
        assert sent.status_code == 404, token
    assert (await house.owner.get("/v1/billing/account")).json()["account"]["legalName"] == ""


async def test_who_only_reads_billing_gets_no_link(house: House) -> None:
    reader = await house.caller("viewer", ("billing:read",))
    answer = await reader.post("/v1/billing/subscriptions/portalSessions")
    assert (answer.status_code, answer.json()) == (403, {"errorMessage": "forbidden"})


async def fields(http: httpx2.AsyncClient, path: str) -> list[tuple[str, str]]:
    """The fields of the page's form, as a browser would send them."""
    page = await http.get(path)
    inputs = re.findall(r"<input [^>]*>", page.text)
    return [(_of(one, "name"), unescape(_of(one, "value"))) for one in inputs]


async def form(http: httpx2.AsyncClient, path: str, **typed: Any) -> str:
    return urlencode(dict(await fields(http, path)) | typed)


def _of(tag: str, name: str) -> str:
    found = re.search(rf' {name}="([^"]*)"', tag)
    assert found is not None, tag
    return found.group(1)

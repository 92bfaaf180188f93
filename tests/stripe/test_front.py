"""The local Stripe itself: its idempotency layer does as Stripe documents it, else it would prove nothing."""

import asyncio
from typing import Any

import httpx2

from tests.stripe.front import KEY, Front
from tests.stripe.objects import Fault, nested


async def post(front: Front, path: str, data: dict[str, str], key: str, secret: str = KEY) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key}
    async with httpx2.AsyncClient() as client:
        return await client.post(front.url + path, data=data, headers=headers)


def code(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json().get("error", {}).get("type")


async def test_the_same_key_is_answered_the_same_and_says_so(front: Front) -> None:
    first = await post(front, "/v1/customers", {"name": "Acme"}, "k:1")
    again = await post(front, "/v1/customers", {"name": "Acme"}, "k:1")
    assert first.json() == again.json()
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert len(front.customers) == 1


async def test_the_same_key_with_other_parameters_is_refused(front: Front) -> None:
    await post(front, "/v1/customers", {"name": "Acme"}, "k:1")
    assert code(await post(front, "/v1/customers", {"name": "Other"}, "k:1")) == (400, "idempotency_error")
    assert code(await post(front, "/v1/refunds", {"name": "Acme"}, "k:1")) == (400, "idempotency_error")


async def test_the_same_key_at_once_runs_once(front: Front) -> None:
    calls = [post(front, "/v1/customers", {"name": "Acme"}, "k:1") for _ in range(8)]
    answers = await asyncio.gather(*calls)
    assert {code(one) for one in answers} <= {(200, None), (409, "idempotency_error")}
    assert len(front.customers) == 1


async def test_errors_are_kept_once_an_endpoint_has_begun(front: Front) -> None:
    front.faults.append(Fault("kept_error", on="/v1/customers"))
    for _ in range(2):
        assert code(await post(front, "/v1/customers", {"name": "Acme"}, "k:1")) == (500, "api_error")
    front.forget_keys()
    assert code(await post(front, "/v1/customers", {"name": "Acme"}, "k:1")) == (200, None)


async def test_what_is_refused_before_is_not_kept(front: Front) -> None:
    assert code(await post(front, "/v1/customers", {"nom": "Acme"}, "k:1")) == (400, "invalid_request_error")
    assert code(await post(front, "/v1/customers", {"name": "Acme"}, "k:1", "sk_wrong"))[0] == 401
    assert code(await post(front, "/v1/customers", {"name": "Acme"}, "k:1")) == (200, None)


async def test_parameters_that_the_version_does_not_have_are_refused(front: Front) -> None:
    data = {"amount": "100", "currency": "usd", "payment_method_types[0]": "card"}
    refused = await post(front, "/v1/payment_intents", data, "k:1")
    assert refused.json()["error"]["code"] == "parameter_unknown"


def test_parameters_are_nested_as_stripe_reads_them() -> None:
    assert nested("a=1&b[c]=2&b[d][0][e]=3&b[d][1][e]=4&f[0]=g") == {
        "a": "1",
        "b": {"c": "2", "d": [{"e": "3"}, {"e": "4"}]},
        "f": ["g"],
    }

"""Webhooks through both clients, against a real server."""

import datetime as dt

import pytest

from tallystick.client import ApiError, AsyncClient, Client
from tests.serving import Shop

URL = "https://platform.example/tally"
SINCE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_an_endpoint_from_its_making_to_its_end(shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as client:
        made = client.create_webhook(URL, kinds=["credits.exhausted"], description="Ours").webhook
        assert made.secret is not None
        assert [one.uuid for one in client.list_webhooks(limit=1).webhooks] == [made.uuid]
        assert client.get_webhook(made.uuid).webhook.kinds == ["credits.exhausted"]
        assert client.rotate_webhook_secret(made.uuid, idempotency_key="r").webhook.secret != made.secret
        tested = client.send_webhook_test(made.uuid).delivery
        assert client.change_webhook(made.uuid, enabled=False).webhook.disabled_because == "asked"
        (dead,) = client.list_webhook_deliveries(made.uuid, status="dead", since=SINCE).deliveries
        assert dead.uuid == tested.uuid
        client.change_webhook(made.uuid, enabled=True, kinds=[])
        assert client.replay_webhook(made.uuid, SINCE, which="all").replayed == 1
        assert client.replay_webhook_delivery(dead.uuid).delivery.status == "queued"
        assert client.get_webhook_delivery(dead.uuid).delivery.payload == tested.payload
        assert "credits.exhausted" in {one.kind for one in client.list_webhook_kinds().kinds}
        client.delete_webhook(made.uuid)
        with pytest.raises(ApiError) as caught:
            client.get_webhook(made.uuid)
    assert (caught.value.status, caught.value.reason) == (404, "webhookNotFound")


async def test_the_same_without_blocking(shop: Shop) -> None:
    async with AsyncClient(shop.base_url, shop.token) as client:
        made = (await client.create_webhook(URL, enabled=False, idempotency_key="k")).webhook
        assert (await client.create_webhook(URL, enabled=False, idempotency_key="k")).webhook == made
        with pytest.raises(ApiError) as caught:
            await client.send_webhook_test(made.uuid)
    assert caught.value.reason == "webhookDisabled"

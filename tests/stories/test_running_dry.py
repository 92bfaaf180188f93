"""A workspace runs dry: from 0 to 100 % used, below zero, stopped, topped up, running again, and all that is told."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces.api.app import create_app
from tests import make
from tests.stories.running_dry import Tale
from tests.stories.telling import REWRITE, rewrite
from tests.telling.receiver import receiving

GOLDEN = Path(__file__).parent / "running_dry.txt"


@pytest.fixture
def own_database(server_url: str) -> Iterator[str]:
    """A database that nobody else's facts are in."""
    name = f"tally_story_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
async def tale(own_database: str) -> AsyncIterator[Tale]:
    settings = Settings(
        database_url=own_database,
        webhook_allowed_hosts="127.0.0.1",
        support_email="help@platform.example",
        log_level="error",
    )
    runtime = await Runtime.open(settings)
    transport = httpx2.ASGITransport(app=create_app(runtime))  # type: ignore[arg-type]
    try:
        async with receiving() as receiver, httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
            yield Tale(runtime, http, receiver, "A workspace runs dry, and runs again")
    finally:
        await runtime.close()


async def test_running_dry(tale: Tale) -> None:
    await tale.begin(
        {
            "name": "Acme",
            "email": "ada@acme.example",
            "zone": "Europe/Paris",
            "clock": "2026-04-01T09:00:00Z",
            "grants": [
                {"unit": "credits", "amount": 100, "expiresAt": None},
                {"unit": "toolRuns", "amount": 1_000, "expiresAt": None},
            ],
        }
    )
    await tale.say("Acme begins with 100 credits and 1,000 tool runs.")
    await tale.told()

    script = {
        "kind": "script",
        "resource": "enrich",
        "name": "Enrich leads",
        "profile": "script-4x16",
        "replicas": 2,
        "language": "Python",
        "languageVersion": "3.10.15",
    }
    await tale.until("2026-04-01T09:10:00Z")
    await tale.say("It asks for a custom script: 2 replicas of 4 vCPU and 16 GB, 0.576 credits an hour.")
    uuid = (await tale.call("POST", "/v1/deployments", script, status=201))["deployment"]["uuid"]
    await tale.told()
    await tale.until("2026-04-01T09:12:30Z")
    await tale.say("The platform has deployed it.")
    report = {"status": "succeeded", "endpoint": "https://run.platform.example/enrich", "access": "Bearer your API key"}
    await tale.call("POST", f"/v1/deployments/{uuid}/report", report)
    await tale.told()
    await tale.deployment(uuid)

    for at, amount, text in (
        ("2026-04-01T15:00:00Z", 20, "Models take 20 credits."),
        ("2026-04-02T10:00:00Z", 22, "Models take 22 credits; the script took its share overnight."),
        ("2026-04-02T11:00:00Z", 14, "Models take 14 credits, and on the same day"),
        ("2026-04-02T16:00:00Z", 8, "8 credits more."),
    ):
        await tale.until(at)
        await tale.say(text)
        await tale.use(at, amount)
        if amount == 20:
            await tale.say("Ada puts the banner away, until the next threshold.")
            await tale.dismiss()

    await tale.say("From now on the script alone uses credits.")
    await tale.until("2026-04-03T09:00:00Z")
    await tale.say("Seven hours later a second script is asked for: less than 5 credits are left for it.")
    await tale.until("2026-04-03T16:00:00Z")
    other = script | {"resource": "score", "name": "Score"}
    tale.refused(await tale.call("POST", "/v1/deployments", other, status=402))
    await tale.say("The night: the last credits go, and what runs goes on below zero.")
    await tale.until("2026-04-04T12:00:00Z")
    tale.refused(await tale.call("POST", "/v1/deployments", other, status=402))
    await tale.say("The afternoon: at 10 credits below zero all that runs is to stop, within 5 minutes.")
    await tale.until("2026-04-04T18:00:00Z")
    await tale.deployment(uuid)
    await tale.say("The platform confirms that it has stopped.")
    await tale.call("POST", f"/v1/deployments/{uuid}/confirm")
    await tale.told()
    await tale.deployment(uuid)
    tale.refused(await tale.call("POST", f"/v1/deployments/{uuid}/deploy", status=402))

    await tale.until("2026-04-06T08:30:00Z")
    await tale.say("Acme buys 200 credits; what it owes is paid by them first.")
    grant = {"unit": "credits", "amount": 200, "source": "purchase", "reason": "200 credits", "expiresAt": None}
    await tale.call("POST", "/v1/grants", grant | {"workspaceUuid": str(tale.uuid)}, status=201)
    await tale.told()
    await tale.say("It deploys the script again.")
    await tale.call("POST", f"/v1/deployments/{uuid}/deploy")
    await tale.told()
    await tale.until("2026-04-06T08:31:00Z")
    await tale.say("The platform has deployed it.")
    await tale.call("POST", f"/v1/deployments/{uuid}/report", report)
    await tale.told()
    await tale.until("2026-04-07T08:31:00Z")
    await tale.say("A day later.")
    await tale.told()
    await tale.deployment(uuid)

    assert await make.differences(tale.runtime.database, tale.uuid) == []
    text = "\n".join(tale.lines) + "\n"
    if os.environ.get(REWRITE):
        rewrite(GOLDEN, text)
    assert GOLDEN.read_text(encoding="utf-8") == text, f"{GOLDEN.name} tells another story; {REWRITE}=1 rewrites it"

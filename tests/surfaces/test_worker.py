"""Time as a surface: what is due happens where nobody calls, and a job that fails does not stop the others."""

import asyncio
import datetime as dt

import pytest

from tallystick.domain.credits.grants import GrantTerms
from tallystick.flows import grants, prices
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.runtime import Runtime
from tallystick.surfaces import worker
from tests import make
from tests.conftest import NOW
from tests.make import IDS, Meter


async def turns(runtime: Runtime, count: int) -> None:
    """So many turns of the worker's loop, without waiting between them."""
    left = count

    async def sleep(_: float) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise asyncio.CancelledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.asyncio, "sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            await worker.work(runtime)


async def test_what_is_due_and_what_can_be_priced_is_booked_though_nobody_calls(runtime: Runtime) -> None:
    database = runtime.database
    born = NOW - dt.timedelta(days=20)
    workspace = await make.bare_workspace(database, born)
    ends = NOW - dt.timedelta(days=1)
    terms = GrantTerms("credits", 5 * NANO, "promotion", key="k", expires_at=ends)
    await grants.issue(database, terms, workspace_id=workspace, now=born, ids=IDS, actor="test")
    model = f"late-{workspace.hex}"
    meter = Meter(database)
    await meter.report(workspace, {"type": "llm.tokens", "id": "1", "model": model, "inputTokens": 10}, now=born)
    rates = {"perMillion": {"inputTokens": "100000"}}
    await prices.add_version(
        database,
        target=f"llm.tokens/*/{model}",
        model="tokens",
        rates=rates,
        now=NOW,
        ids=IDS,
        actor="test",
        valid_from=born,
    )

    await turns(runtime, 2)

    [balance] = await make.rows(
        database, "SELECT * FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace
    )
    # 5 granted, 1 used by the late price once the rest had expired.
    assert (balance["expired"], balance["used"], balance["overdraft"]) == (5 * NANO, NANO, NANO)


async def test_a_job_that_fails_is_tried_again_and_holds_up_no_other(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def fails(_: Runtime, now: dt.datetime) -> int:
        done.append("fails")
        raise TallystickError("databaseUnavailable", "gone")

    async def works(_: Runtime, now: dt.datetime) -> int:
        done.append("works")
        return 0

    often = dt.timedelta(0)
    monkeypatch.setattr(worker, "jobs", lambda _: [worker.Job("a", often, fails), worker.Job("b", often, works)])
    await turns(runtime, 2)
    assert done == ["fails", "works", "fails", "works"]

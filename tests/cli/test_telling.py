"""`tally facts | mail | notification` as processes."""

import asyncio
import datetime as dt
from uuid import UUID

from tallystick.domain.telling import facts as kinds
from tallystick.flows.telling import UNSENT
from tallystick.store.database import Database
from tests.cli.conftest import Shell
from tests.serving import Shop
from tests.telling.post_office import fan, happened, person

NOW = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)


async def exhaust(shop: Shop) -> None:
    database = Database(shop.database_url, pool_size=2)
    await database.open()
    try:
        await person(database, UUID(str(shop.uuid)), "owner", NOW)
        await happened(database, shop.uuid, kinds.CREDITS_EXHAUSTED, NOW, threshold=100, posted=0, granted=75)
        await fan(database, NOW, UNSENT)
    finally:
        await database.close()


def test_what_happened_and_what_was_mailed_is_listed_and_shown(tally: Shell, shop: Shop) -> None:
    asyncio.run(exhaust(shop))
    done = tally("facts", "list", "--kind", kinds.CREDITS_EXHAUSTED)
    assert done.status == 0, done.stdout
    [fact] = done.answer["facts"]
    assert (fact["at"], fact["data"]["granted"]) == ("2026-03-14T09:41:07Z", 75)
    assert tally("facts", "list", "--kind", kinds.CREDITS_EXHAUSTED, "--to", fact["at"]).answer == {"facts": []}
    [mail] = tally("mail", "list", "--status", "kept", "--kind", kinds.CREDITS_EXHAUSTED).answer["mails"]
    assert mail["subject"] == "All credits of Shop are used"
    shown = tally("mail", "show", mail["uuid"], "--format", "table")
    assert "All 75 credits are used" in shown.stdout
    refused = tally("mail", "retry", mail["uuid"])
    assert (refused.status, refused.answer) == (1, {"errorMessage": "forbidden"})
    wrong = tally("facts", "list", "--from", "yesterday")
    assert wrong.status == 2


def test_preferences_are_a_persons(tally: Shell) -> None:
    refused = tally("notification", "set", "--no-credits")
    assert (refused.status, refused.answer) == (1, {"errorMessage": "forbidden"})

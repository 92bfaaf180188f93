"""`tally webhook` as processes."""

from tests.cli.conftest import Shell

ENDPOINT = ("webhook", "endpoint")
DELIVERY = ("webhook", "delivery")


def test_an_endpoint_is_made_changed_rotated_tested_and_deleted(tally: Shell) -> None:
    again = [
        tally(
            *ENDPOINT,
            "create",
            "--url",
            "https://platform.example/x",
            "--idempotency-key",
            "k",
            "--kind=credits.granted",
        )
        for _ in range(2)
    ]
    assert [done.status for done in again] == [0, 0]
    made = again[0].answer["webhook"]
    assert again[1].answer["webhook"] == made
    secret = made.pop("secret")
    assert tally(*ENDPOINT, "list").answer == {"webhooks": [made]}
    assert tally(*ENDPOINT, "get", made["uuid"]).answer == {"webhook": made}
    rotated = tally(*ENDPOINT, "rotate", made["uuid"]).answer["webhook"]
    assert rotated["secret"] not in (None, secret)
    assert rotated["previousSecretUntil"] is not None
    test = tally(*ENDPOINT, "test", made["uuid"]).answer["delivery"]
    assert test["kind"] == "webhook.test"
    off = tally(*ENDPOINT, "update", made["uuid"], "--disable", "--all-kinds", "--description", "Ours").answer[
        "webhook"
    ]
    assert (off["enabled"], off["kinds"], off["description"], off["url"]) == (False, [], "Ours", made["url"])
    (dead,) = tally(*DELIVERY, "list", "--endpoint", made["uuid"], "--status", "dead").answer["deliveries"]
    assert dead["uuid"] == test["uuid"]
    refused = tally(*DELIVERY, "replay", test["uuid"])
    assert (refused.status, refused.answer["reason"]) == (1, "webhookDisabled")
    assert tally(*ENDPOINT, "update", made["uuid"], "--enable").answer["webhook"]["enabled"] is True
    since = ("--endpoint", made["uuid"], "--since", "2026-01-01T00:00:00Z")
    assert tally(*DELIVERY, "replay", *since).answer == {"replayed": 1}
    assert tally(*DELIVERY, "get", test["uuid"]).answer["delivery"]["status"] == "queued"
    drawn = tally(*DELIVERY, "list", "--endpoint", made["uuid"], "--format", "table").stdout
    assert ["webhook.test", test["uuid"], "queued"] in [line.split()[:3] for line in drawn.splitlines()]
    assert tally(*ENDPOINT, "delete", made["uuid"]).status == 0
    assert tally(*ENDPOINT, "list").answer == {"webhooks": []}


def test_a_replay_names_one_or_many(tally: Shell) -> None:
    assert tally(*DELIVERY, "replay").status == 2
    assert tally(*DELIVERY, "replay", "--since", "2026-01-01T00:00:00Z").status == 2


def test_the_kinds_are_listed(tally: Shell) -> None:
    assert "credits.exhausted" in tally("webhook", "kinds", "--format", "table").stdout

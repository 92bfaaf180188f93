"""`tally plan` and `tally billing subscription` as processes."""

from tests.cli.conftest import Shell
from tests.serving import House


def test_a_trial_a_preview_and_a_change(tally: Shell) -> None:
    seen = tally("billing", "subscription", "change", "--plan", "pro", "--preview").answer["preview"]
    assert (seen["when"], seen["fixedPrice"]) == ("now", 9_900)
    begun = tally("billing", "subscription", "start-trial").answer["subscription"]
    assert (begun["subscriptionStatus"], begun["planKey"]) == ("trialing", "pro")
    again = tally("billing", "subscription", "start-trial")
    assert (again.status, again.answer["reason"]) == (1, "trialUsed")
    ending = tally("billing", "subscription", "change", "--plan", "free").answer["subscription"]
    assert (ending["hasPendingChange"], ending["futureChange"]["planKey"]) == (True, "free")
    assert tally("billing", "subscription", "keep").answer["subscription"]["hasPendingChange"] is False
    assert tally("billing", "subscription", "cancel").answer["subscription"]["futureChange"]["change"] == "cancel"
    capped = tally("billing", "subscription", "set-overage", "--cap", "50").answer["subscription"]
    assert capped["overageCap"] == 50
    refused = tally("billing", "subscription", "set-overage", "--action", "allow")
    assert (refused.status, refused.answer["reason"]) == (1, "subscriptionNotEnterprise")
    assert tally("billing", "subscription", "set-overage").status == 2
    rows = tally("plan", "entitlements", "--format", "table").stdout
    assert "workspaces" in rows


def test_an_operator_adds_contracts_pauses_and_closes(tally: Shell, house: House) -> None:
    operator = {"TALLY_TOKEN": house.operator_token}
    uuid = str(tally.shop.uuid)
    key = f"cli{uuid[-12:]}"
    added = tally("plan", "add", "--plan", key, "--name", "Team", "--price", "1000", **operator).answer["plan"]
    assert (added["plan"], added["version"]) == (key, 1)
    newer = tally("plan", "add", "--plan", key, "--name", "Team", "--price", "1200", **operator).answer["plan"]
    moved = tally("plan", "migrate", newer["uuid"], "--reason", "r", "--workspace", uuid, **operator)
    assert moved.answer["migrated"] == 0
    retired = tally("plan", "retire", added["uuid"], "--reason", "r", **operator)
    assert retired.answer["plan"]["retiredAt"] is not None
    assert tally("plan", "add", "--plan", "Bad Key", "--name", "x", "--price", "1", **operator).status == 1
    contract = tally(
        "plan", "contract", "--workspace-uuid", uuid, "--price", "0", "--reason", "contract 1", **operator
    ).answer["plan"]
    assert contract["workspaceUuid"] == uuid
    of_shop = ("--workspace-uuid", uuid)
    changed = tally("billing", "subscription", "change", "--plan", "enterprise", *of_shop, **operator)
    assert changed.answer["subscription"]["plan"] == "enterprise"
    paused = tally("billing", "subscription", "pause", "--reason", "abuse", *of_shop, **operator)
    assert paused.answer["subscription"]["subscriptionStatus"] == "paused"
    assert tally("billing", "gate", "--action", "run").status == 3
    resumed = tally("billing", "subscription", "resume", "--reason", "cleared", *of_shop, **operator)
    assert resumed.answer["subscription"]["subscriptionStatus"] == "active"
    closed = tally("workspace", "close", uuid, "--bought-credits", "forfeit", "--reason", "done", **operator)
    assert closed.answer["workspaceUuid"] == uuid
    assert tally("billing", "subscription", "get").answer == {"errorMessage": "unauthorized"}

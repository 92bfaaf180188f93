"""`tally billing banners | widget`, `tally credits`, `tally limits` and `tally audit` as processes."""

from tests.cli.conftest import Shell
from tests.serving import House


def test_banners_are_shown_and_put_away(tally: Shell, house: House) -> None:
    assert tally("billing", "banners").answer == {"banners": []}
    operator = {"TALLY_TOKEN": house.operator_token}
    correction = ("credits", "adjust", "--workspace-uuid", str(tally.shop.uuid), "--reason", "r", "--amount")
    assert tally(*correction, "-75", **operator).status == 0
    [banner] = tally("billing", "banners").answer["banners"]
    assert (banner["id"], banner["kind"]) == ("credits.exhausted.1", "exhausted")
    fixed = tally("billing", "banners", "--dismiss", banner["id"])
    assert (fixed.status, fixed.answer["reason"]) == (1, "bannerNotRemovable")
    assert tally(*correction, "100", **operator).status == 0
    assert tally("billing", "banners").answer == {"banners": []}
    table = tally("billing", "banners", "--format", "table")
    assert table.stdout.split()[:3] == ["id", "kind", "unit"]


def test_the_widget_is_shown(tally: Shell) -> None:
    widget = tally("billing", "widget").answer["widget"]
    assert (widget["accountId"], widget["icon"]) == (str(tally.shop.uuid), "green")
    rows = [line.split() for line in tally("billing", "widget", "--format", "table").stdout.splitlines()]
    assert ["toolRuns", "10000", "10000"] in [row[:3] for row in rows]


def test_credits_are_taken_back_and_a_grant_is_ended(tally: Shell, house: House) -> None:
    operator = {"TALLY_TOKEN": house.operator_token}
    of_shop = ("--workspace-uuid", str(tally.shop.uuid), "--reason", "granted twice")
    taken = tally("credits", "adjust", *of_shop, "--amount", "-5.000000001", **operator)
    assert (taken.status, taken.answer["grant"], taken.answer["balances"][0]["posted"]) == (0, None, 69.999999999)
    too_much = tally("credits", "adjust", *of_shop, "--amount", "-100", **operator)
    assert (too_much.status, too_much.answer["reason"]) == (1, "adjustmentTooLarge")
    owed = tally("credits", "adjust", *of_shop, "--amount", "-100", "--allow-negative", **operator)
    assert owed.answer["balances"][0]["posted"] == -30.000000001
    runs = next(grant for grant in tally("credits", "list").answer["grants"] if grant["unit"] == "toolRuns")
    ended = tally("credits", "expire", runs["uuid"], *of_shop, **operator)
    assert (ended.status, ended.answer["grant"]["expired"]) == (0, 10_000)
    assert tally("credits", "expire", runs["uuid"], *of_shop, **operator).answer["reason"] == "grantEnded"
    assert tally("credits", "expire", "nonsense", *of_shop, **operator).status == 2
    entries = tally("audit", "list", "--action", "credits").answer["entries"]
    assert [entry["details"]["amount"] for entry in entries] == ["-100", "-5.000000001"]
    assert tally("audit", "list", "--since", "2000-01-01T00:00:00Z", "--limit", "1").answer["entries"]
    assert tally("audit", "list", "--since", "yesterday").status == 2


def test_limits_are_shown_and_set(tally: Shell, house: House) -> None:
    operator = {"TALLY_TOKEN": house.operator_token}
    change = ("limits", "set", "--workspace-uuid", str(tally.shop.uuid), "--reason", "contract")
    assert tally("limits", "get").answer["limits"]["negativeLimit"] == -10
    done = tally(*change, "--negative-limit", "-50", "--comply-seconds", "60", **operator)
    assert (done.status, done.answer["own"]["negativeLimit"]) == (0, -50)
    rows = [line.split() for line in tally("limits", "get", "--format", "table").stdout.splitlines()]
    assert ["negativeLimit", "-50", "workspace"] in rows
    assert ["lowLimit", "1", "installation"] in rows
    back = tally(*change, "--negative-limit", "default", "--comply-seconds", "default", **operator)
    assert back.answer["own"]["negativeLimit"] is None
    wrong = tally(*change, "--negative-limit", "5", **operator)
    assert (wrong.status, wrong.answer["reason"]) == (1, "invalidLimits")
    assert tally(*change, "--comply-seconds", "soon", **operator).status == 2

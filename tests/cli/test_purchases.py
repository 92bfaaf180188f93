"""`tally billing credits | top-up` and `tally revenue` as processes."""

from tests.cli.conftest import Shell
from tests.serving import House


def test_credits_are_bought_listed_and_shown_as_a_table(tally: Shell, house: House) -> None:
    preview = tally("billing", "credits", "purchase", "--credits", "1000", "--preview").answer["preview"]
    assert (preview["price"], preview["currency"]) == (1000, "usd")
    once = ("billing", "credits", "purchase", "--credits", "1000", "--idempotency-key", "k")
    bought = tally(*once)
    assert (bought.status, bought.answer["purchase"]["status"]) == (0, "pending")
    assert tally(*once).answer["purchase"]["uuid"] == bought.answer["purchase"]["uuid"]
    rows = [line.split() for line in tally("billing", "credits", "purchases", "--format", "table").stdout.splitlines()]
    assert ["pending", "1000"] in [row[1:3] for row in rows]
    odd = tally("billing", "credits", "purchase", "--credits", "1.5")
    assert (odd.status, odd.answer["reason"]) == (1, "invalidAmount")
    url = tally("billing", "credits", "checkout").answer["checkoutSession"]["url"]
    assert url.startswith(house.base_url)
    early = tally(
        "billing",
        "credits",
        "refund",
        bought.answer["purchase"]["uuid"],
        "--workspace-uuid",
        str(tally.shop.uuid),
        "--reason",
        "asked for",
        TALLY_TOKEN=house.operator_token,
    )
    assert (early.status, early.answer["reason"]) == (1, "purchaseNotOpen")


def test_top_up_is_shown_and_switched_off(tally: Shell) -> None:
    refused = tally("billing", "top-up", "set", "--credits", "500", "--threshold", "10")
    assert (refused.status, refused.answer["reason"]) == (1, "paymentMethodNotFound")
    assert tally("billing", "top-up", "off").answer["subscription"]["topup"] is None
    assert "dailyCap" in tally("billing", "top-up", "show", "--format", "table").stdout


def test_revenue_is_for_operators(tally: Shell, house: House) -> None:
    assert tally("revenue", "report").answer == {"errorMessage": "forbidden"}
    report = tally("revenue", "report", "--from", "2026-01-01", TALLY_TOKEN=house.operator_token)
    assert report.status == 0 and isinstance(report.answer["months"], list)

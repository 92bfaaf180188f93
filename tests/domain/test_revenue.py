"""The money side of a purchase: whatever becomes of its credits, the cents add up."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.purchases import Purchase, PurchaseTerms, check_credits, price_of
from tallystick.domain.billing.revenue import Burnt, movement, recognised, refund_of, stand
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError

NOW = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)


def purchase(credits_: int, price_minor: int, tax_minor: int = 0, *, status: str = "paid") -> Purchase:
    return Purchase(
        workspace_id=UUID(int=1),
        id=UUID(int=2),
        is_automatic=False,
        status=status,
        credits=credits_,
        price_minor=price_minor,
        tax_minor=tax_minor,
        currency="usd",
        unit_price=Decimal(1),
        tax_at="purchase",
        day=NOW.date(),
        expires_days=365,
        created_by="test",
        created_at=NOW,
    )


def test_a_third_of_a_dollar_three_times_is_a_dollar() -> None:
    bought = purchase(3 * NANO, 100)
    earned = [recognised(bought, Burnt(used=used * NANO))[0] for used in range(4)]
    assert earned == [0, 33, 67, 100]


def test_what_expires_is_breakage_and_completes_the_price() -> None:
    bought = purchase(3 * NANO, 100)
    assert recognised(bought, Burnt(used=NANO, expired=2 * NANO)) == (33, 67, 0)


def test_nothing_stands_anywhere_before_it_is_paid_and_after_it_was_charged_back() -> None:
    for status in ("pending", "failed", "charged_back"):
        assert set(stand(purchase(NANO, 100, 19, status=status), Burnt(used=NANO)).values()) == {0}


def test_a_paid_purchase_stands_as_cash_against_what_is_owed_for_it() -> None:
    held = stand(purchase(100 * NANO, 100, 19), Burnt(used=25 * NANO, expired=5 * NANO))
    assert held == {"cash": 119, "deferred": -70, "revenue": -25, "breakage": -5, "tax": -19, "refunds": 0}


def test_a_refund_is_owed_until_it_is_paid_out() -> None:
    bought = replace(purchase(100 * NANO, 100, 19), taken=70 * NANO, refunded_minor=70, refunded_tax_minor=13)
    held = stand(bought, Burnt(used=30 * NANO))
    assert (held["deferred"], held["revenue"], held["refunds"], held["tax"]) == (0, -30, -83, -6)
    assert stand(bought, Burnt(used=30 * NANO), paid_out=83)["refunds"] == 0


@pytest.mark.parametrize(
    ("credits_", "unit_price", "minor"),
    [
        (10_000 * NANO, "1", 10_000),
        (101 * NANO, "0.5", 50),  # 50.5: half to even
        (103 * NANO, "0.5", 52),  # 51.5: half to even
        (333 * NANO, "0.123456789", 41),
        (100 * NANO, "0", 0),
    ],
)
def test_a_price_is_rounded_once(credits_: int, unit_price: str, minor: int) -> None:
    assert price_of(credits_, Decimal(unit_price)) == minor


@pytest.mark.parametrize("credits_", [99 * NANO, 1_001 * NANO, 0, -100 * NANO, 100 * NANO + 1])
def test_only_whole_credits_within_the_bounds_are_sold(credits_: int) -> None:
    terms = PurchaseTerms(Decimal(1), "usd", 100 * NANO, 1_000 * NANO, 365, 1_000 * NANO)
    with pytest.raises(TallystickError) as refused:
        check_credits(credits_, terms)
    assert refused.value.code == "invalidAmount"


steps = st.lists(
    st.tuples(st.sampled_from(["use", "return", "expire", "refund"]), st.integers(1, 40 * NANO)), max_size=30
)


@settings(deadline=None)
@given(credits_=st.integers(1, 100 * NANO), price=st.integers(0, 10_000), steps=steps)
def test_earned_deferred_expired_and_refunded_are_always_what_was_paid(
    credits_: int, price: int, steps: list[tuple[str, int]]
) -> None:
    bought, burnt = purchase(credits_, price), Burnt()
    booked = dict.fromkeys(stand(bought, burnt), 0)
    for step, amount in [("", 0), *steps]:
        unused = bought.credits - bought.taken - burnt.used - burnt.expired
        some = min(amount, unused)
        if step == "use":
            burnt = replace(burnt, used=burnt.used + some)
        elif step == "return":
            burnt = replace(burnt, used=burnt.used - min(amount, burnt.used))
        elif step == "expire":
            burnt = replace(burnt, expired=burnt.expired + some)
        elif step == "refund" and some:
            back = refund_of(bought, burnt, some)
            assert 0 <= back <= price
            bought = replace(bought, taken=bought.taken + some, refunded_minor=bought.refunded_minor + back)
        moved = movement(booked, stand(bought, burnt))
        assert sum(moved.values()) == 0
        booked = {account: booked[account] + moved.get(account, 0) for account in booked}
        revenue, breakage, deferred = recognised(bought, burnt)
        assert revenue + breakage + deferred + bought.refunded_minor == price
        assert min(revenue, breakage, deferred) >= 0
        if bought.credits - bought.taken == burnt.used + burnt.expired:
            assert deferred == 0

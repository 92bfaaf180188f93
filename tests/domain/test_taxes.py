"""Taxes: who charges which rate, why none, and sums that add up (row D6; EN 16931)."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.billing.invoices import Line, Party, new_line
from tallystick.domain.billing.money import PPM, round_half_up
from tallystick.domain.billing.tax_ids import EU, check_tax_id, tax_id_country
from tallystick.domain.billing.taxes import read_rates
from tallystick.gateways.taxes import load, shipped_rates
from tallystick.kernel.errors import TallystickError

AT = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)
GERMAN = Party("Tally Works", country="DE", tax_id="DE136695976")


def buyer(country: str, tax_id: str | None = None) -> Party:
    return Party("Acme", country=country, tax_id=tax_id)


def treated(seller: Party, customer: Party, registered: str = "", at: dt.datetime = AT) -> tuple[str, str, str]:
    """Category, rate in percent and the country whose tax it is."""
    found = load(None, registered).treatment(seller, customer, at=at)
    return found.category, f"{Decimal(found.ppm) / 10_000}", found.country


@pytest.mark.parametrize(
    ("seller", "customer", "registered", "expected"),
    [
        ("DE", buyer("DE"), "", ("S", "19", "DE")),
        ("DE", buyer("DE", "DE136695976"), "", ("S", "19", "DE")),
        # Where they are is not known: taken to be at home.
        ("DE", buyer(""), "", ("S", "19", "DE")),
        # A business with a tax id of another member state owes the tax itself.
        ("DE", buyer("FR", "FR40303265045"), "", ("AE", "0", "FR")),
        ("DE", buyer("FR", "FR40303265045"), "FR", ("AE", "0", "FR")),
        ("DE", buyer("GR", "EL094259216"), "", ("AE", "0", "GR")),
        # A tax id that is wrong, or of the seller's own country, is none.
        ("DE", buyer("FR", "FR40303265046"), "", ("S", "19", "DE")),
        ("DE", buyer("FR", "DE136695976"), "", ("S", "19", "DE")),
        # Who is no business is charged at home's rate, or theirs where the seller is registered.
        ("DE", buyer("FR"), "", ("S", "19", "DE")),
        ("DE", buyer("FR"), "FR", ("S", "20", "FR")),
        # Outside the Union.
        ("DE", buyer("US"), "", ("O", "0", "US")),
        ("DE", buyer("CH", "CHE107787577IVA"), "", ("O", "0", "CH")),
        ("DE", buyer("GB"), "GB", ("S", "20", "GB")),
        ("DE", buyer("GB", "GB980780684"), "GB", ("O", "0", "GB")),
        ("US", buyer("US"), "", ("O", "0", "US")),
        ("US", buyer("DE"), "", ("O", "0", "DE")),
        ("US", buyer("DE"), "DE", ("S", "19", "DE")),
        ("US", buyer("DE", "DE136695976"), "DE", ("O", "0", "DE")),
        ("GB", buyer("GB"), "", ("S", "20", "GB")),
        ("CH", buyer("CH"), "", ("S", "8.1", "CH")),
        ("NO", buyer("NO"), "", ("S", "25", "NO")),
        ("GB", buyer("DE", "DE136695976"), "", ("O", "0", "DE")),
    ],
)
def test_who_is_charged_what(seller: str, customer: Party, registered: str, expected: tuple[str, str, str]) -> None:
    assert treated(Party("Tally Works", country=seller), customer, registered) == expected


@pytest.mark.parametrize(
    ("country", "day", "percent"),
    [
        ("EE", "2025-06-30", "22"),
        ("EE", "2025-07-01", "24"),
        ("FI", "2024-09-01", "25.5"),
        ("RO", "2025-07-31", "19"),
        ("RO", "2025-08-01", "21"),
        ("SK", "2025-01-01", "23"),
        ("CH", "2023-12-31", "7.7"),
        ("CH", "2024-01-01", "8.1"),
    ],
)
def test_a_rate_counts_from_its_day_on(country: str, day: str, percent: str) -> None:
    at = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)
    assert treated(Party("Tally Works", country=country), buyer(country), at=at)[:2] == ("S", percent)


def test_every_member_state_has_a_rate() -> None:
    assert {*EU, "GB", "CH", "NO", "LI"} == shipped_rates().keys()


def test_what_is_not_charged_says_why() -> None:
    table = load(None)
    for customer in (buyer("FR", "FR40303265045"), buyer("US")):
        _, [row] = table.tax([new_line("plan", "Pro", 9_900)], GERMAN, customer, at=AT)
        assert (row.base_minor, row.amount_minor) == (9_900, 0)
        assert row.reason
    assert "Article 196" in table.treatment(GERMAN, buyer("FR", "FR40303265045"), at=AT).reason


@given(st.lists(st.integers(-10_000, 1_000_000), min_size=1, max_size=30))
def test_tax_is_rounded_once_over_the_sum_of_its_lines(amounts: list[int]) -> None:
    lines = [new_line("custom", "Work", amount) for amount in amounts]
    taxed, [row] = load(None).tax(lines, GERMAN, buyer("DE"), at=AT)
    assert row.base_minor == sum(line.amount_minor for line in taxed) == sum(amounts)
    assert row.amount_minor == round_half_up(sum(amounts) * 190_000, PPM)
    assert {(line.tax_category, line.tax_rate_ppm) for line in taxed} == {("S", 190_000)}


def test_a_line_with_a_category_of_its_own_keeps_it() -> None:
    voucher = Line(1, "credits", "Credits", Decimal(1), "", Decimal(100), 100, "O", 0)
    _, rows = load(None).tax([voucher, new_line("plan", "Pro", 200)], GERMAN, buyer("DE"), at=AT)
    assert [(row.category, row.base_minor, row.amount_minor) for row in rows] == [("S", 200, 38), ("O", 100, 0)]
    assert rows[1].reason


@pytest.mark.parametrize(
    ("given", "country", "expected"),
    [
        ("DE 136 695 976", "DE", "DE136695976"),
        ("136695976", "DE", "DE136695976"),
        ("094259216", "GR", "EL094259216"),
        ("ATU13585627", "AT", "ATU13585627"),
        ("CHE-107.787.577 IVA", "CH", "CHE107787577IVA"),
        ("NO 995 525 828 MVA", "NO", "NO995525828MVA"),
        ("12-3456789", "US", "12-3456789"),
    ],
)
def test_a_tax_id_is_kept_in_its_shortest_form(given: str, country: str, expected: str) -> None:
    assert check_tax_id(given, country) == expected
    assert check_tax_id(expected, country) == expected


@pytest.mark.parametrize(("text", "country"), [("DE136695977", "DE"), ("1", "FR"), ("x" * 40, "US"), ("", "DE")])
def test_a_wrong_tax_id_is_refused(text: str, country: str) -> None:
    with pytest.raises(TallystickError):
        check_tax_id(text, country)
    assert tax_id_country(text, country) is None


def test_an_operators_own_rates_stand_in_place_of_the_shipped(tmp_path: Path) -> None:
    path = tmp_path / "rates.toml"
    path.write_text('NZ = { name = "GST", rates = [{ percent = "15" }] }\n', encoding="utf-8")
    seller = Party("Tally Works", country="NZ")
    assert load(path).treatment(seller, buyer("NZ"), at=AT).ppm == 150_000
    assert load(path).treatment(GERMAN, buyer("DE"), at=AT).category == "O"


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        'de = { rates = [{ percent = "19" }] }',
        'DE = { rates = [{ percent = "119" }] }',
        'DE = { rates = [{ percent = "19", since = "2020" }] }',
        "DE = { rates = [{ percent = 19.5 }] }",
        "DE = 19",
    ],
)
def test_rates_that_cannot_be_read_stop_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rates.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TallystickError, match="tax rates"):
        load(path)


def test_a_country_without_a_rate_is_nothing_to_be_registered_in() -> None:
    with pytest.raises(TallystickError, match="TALLY_TAX_COUNTRIES"):
        load(None, "FR, ZZ")


def test_rates_name_the_country_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="FR"):
        read_rates({"FR": {"rates": [{}]}})

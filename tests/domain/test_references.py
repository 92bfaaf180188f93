"""References of transfers: found however they are typed, and never taken for another invoice's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.billing.references import body_of, creditor_reference, is_reference, named_in, shown

NUMBERS = st.from_regex(r"[A-Z]{1,4}-[0-9]{4,8}", fullmatch=True)


def test_a_reference_is_that_of_iso_11649() -> None:
    # The example that the standard's own description gives.
    assert creditor_reference("539007547034") == "RF18539007547034"
    assert is_reference("RF18539007547034") and not is_reference("RF19539007547034")
    assert shown("RF18539007547034") == "RF18 5390 0754 7034"
    assert body_of("INV-000042") == "INV000042"


@given(NUMBERS)
def test_a_reference_is_found_however_it_is_typed(number: str) -> None:
    reference = creditor_reference(number)
    body = body_of(number)
    for text in (
        reference,
        reference.lower(),
        shown(reference),
        f"Payment of {shown(reference).lower()} thank you",
        f"RE {reference[:6]} {reference[6:]}//ACME",
    ):
        sure, _ = named_in(text)
        assert body in sure


@given(NUMBERS, st.data())
def test_one_wrong_character_names_no_other_invoice_for_sure(number: str, data: st.DataObject) -> None:
    reference = creditor_reference(number)
    place = data.draw(st.integers(2, len(reference) - 1))
    wrong = data.draw(st.sampled_from([c for c in "0123456789" if c != reference[place]]))
    if not reference[place].isdigit():
        return
    sure, _ = named_in(reference[:place] + wrong + reference[place + 1 :])
    assert not sure


@pytest.mark.parametrize("text", ["INV-000042", "inv 000042", "Rechnung INV000042 vom 3.3.", "Inv. No. INV/000042"])
def test_a_plain_number_is_a_guess(text: str) -> None:
    sure, perhaps = named_in(text)
    assert not sure and "INV000042" in perhaps


@given(st.text(max_size=3_000))
def test_any_text_can_be_looked_through(text: str) -> None:
    sure, perhaps = named_in(text)
    assert all(len(one) <= 21 for one in sure | perhaps)

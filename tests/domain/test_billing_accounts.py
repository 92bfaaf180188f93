"""Billing details: each in its usual form, and what can't be is named."""

from uuid import UUID

import pytest

from tallystick.domain.billing.accounts import Account, Address, Details, read_bank_account, with_details
from tallystick.kernel.errors import TallystickError

NOBODY = Account(UUID(int=7))


@pytest.mark.parametrize(
    ("details", "field", "kept"),
    [
        (Details(country="de"), "country", "DE"),
        (Details(country=" "), "country", None),
        (Details(email=" Books@Acme.Example "), "email", "books@acme.example"),
        (Details(email=""), "email", None),
        (Details(country="DE", tax_id="de 136 695 976"), "tax_id", "DE136695976"),
        (Details(country="GR", tax_id="094259216"), "tax_id", "EL094259216"),
        (Details(country="US", tax_id="12-3456789"), "tax_id", "12-3456789"),
        (Details(tax_id=""), "tax_id", None),
        (Details(locale="pt_br"), "locale", "pt-BR"),
        (Details(locale="zh-hant-tw"), "locale", "zh-Hant-TW"),
        (Details(purchase_order=" PO 7 "), "purchase_order", "PO 7"),
        (Details(address=Address(line1=" Ring 1 ")), "address", Address(line1="Ring 1")),
    ],
)
def test_details_are_kept_in_their_usual_form(details: Details, field: str, kept: object) -> None:
    assert getattr(with_details(NOBODY, details), field) == kept


@pytest.mark.parametrize(
    ("details", "code", "field"),
    [
        (Details(country="Germany"), "invalidBillingDetails", "country"),
        (Details(country="ZZ"), "invalidBillingDetails", "country"),
        (Details(locale="english"), "invalidBillingDetails", "locale"),
        (Details(email="nobody"), "invalidText", "email"),
        (Details(legal_name="a\x07b"), "invalidText", "legalName"),
        (Details(legal_name="x" * 201), "invalidText", "legalName"),
        (Details(address=Address(postal_code="1" * 21)), "invalidText", "address.postalCode"),
        (Details(country="DE", tax_id="DE136695975"), "invalidTaxId", "taxId"),
    ],
)
def test_what_cant_be_is_named(details: Details, code: str, field: str) -> None:
    with pytest.raises(TallystickError) as raised:
        with_details(NOBODY, details)
    assert (raised.value.code, raised.value.details["field"]) == (code, field)


def test_a_country_that_changes_checks_the_tax_id_that_is_there() -> None:
    german = with_details(NOBODY, Details(country="DE", tax_id="DE136695976"))
    assert with_details(german, Details(legal_name="Acme")).tax_id == "DE136695976"


def test_a_bank_account_is_read_and_an_iban_that_was_mistyped_is_not() -> None:
    account = read_bank_account("Tally Works; DE89370400440532013000; COBADEFFXXX; Commerzbank")
    assert (account.number, account.bank) == ("DE89 3704 0044 0532 0130 00", "Commerzbank")
    assert read_bank_account("Tally Works; 12-345 678").number == "12-345 678"
    for wrong in ("Tally Works", "Tally Works; DE89370400440532013001", "; DE89370400440532013000", "a;b;c;d;e"):
        with pytest.raises(ValueError):
            read_bank_account(wrong)

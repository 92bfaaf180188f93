"""Billing accounts: who pays for a workspace, from where, and with what (rows D7, D11; rules M24, M28)."""

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal
from uuid import UUID

from tallystick.domain.billing.tax_ids import check_tax_id
from tallystick.domain.texts import check_email, check_text
from tallystick.kernel.errors import TallystickError

ProviderName = Literal["offline", "stripe"]
MethodKind = Literal["card", "bank"]

TOPUP_STATES: Final = ("off", "on", "stopped")
"""`stopped`: it failed, its owner was told, and it waits for a new method or for being switched on again."""


@dataclass(frozen=True, slots=True)
class Address:
    line1: str = ""
    line2: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A card or a bank account on file: nothing that would let anybody pay with it.

    `id` is the provider's; a bank account has no expiry.
    """

    id: str
    kind: MethodKind
    brand: str
    last4: str
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True)
class TopUp:
    """Automatic top-up: below `threshold`, `credits` are bought; nano-credits, `daily_cap` of them a UTC day."""

    state: str = "off"
    credits: int | None = None
    threshold: int | None = None
    daily_cap: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """`country` is ISO 3166-1 alpha-2, `currency` ISO 4217 in lower case and fixed by the first invoice (rule M28).

    `trial_used_at` says when the one trial was begun (rule M23).
    """

    workspace_id: UUID
    legal_name: str = ""
    email: str | None = None
    address: Address = field(default_factory=Address)
    country: str | None = None
    tax_id: str | None = None
    purchase_order: str | None = None
    locale: str = "en"
    currency: str | None = None
    provider: ProviderName = "offline"
    customer_ref: str | None = None
    method: Method | None = None
    method_at: dt.datetime | None = None
    trial_used_at: dt.datetime | None = None
    top_up: TopUp = field(default_factory=TopUp)


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Where transfers go. `number` is an IBAN, or whatever the bank calls an account."""

    holder: str
    number: str
    bic: str = ""
    bank: str = ""


def read_bank_account(text: str) -> BankAccount:
    """`holder; IBAN or account; BIC; bank` as an account. ValueError where it is none, or an IBAN that was mistyped."""
    parts = [" ".join(part.split()) for part in text.split(";")]
    if not 2 <= len(parts) <= 4 or not parts[0] or not parts[1]:
        raise ValueError("must be: holder; IBAN or account; BIC; bank")
    compact = parts[1].replace(" ", "").upper()
    if _IBAN.fullmatch(compact):
        if mod_97(compact[4:] + compact[:4]) != 1:
            raise ValueError("has an IBAN whose check digits are wrong")
        parts[1] = " ".join(compact[place : place + 4] for place in range(0, len(compact), 4))
    return BankAccount(*parts)


def mod_97(text: str) -> int:
    """The remainder of ISO 7064 MOD 97-10, letters counting from A = 10; `text` is capitals and digits."""
    return int("".join(str(int(character, 36)) for character in text)) % 97


@dataclass(frozen=True, slots=True)
class Details:
    """What an owner says of who pays; None leaves a field as it is, an empty text empties it."""

    legal_name: str | None = None
    email: str | None = None
    address: Address | None = None
    country: str | None = None
    tax_id: str | None = None
    purchase_order: str | None = None
    locale: str | None = None


def with_details(account: Account, details: Details) -> Account:
    """The account with these details, each in its usual form.

    Raises `invalidBillingDetails`, `invalidTaxId` and `invalidText`, each naming the field.
    """
    country = account.country if details.country is None else _country(details.country)
    tax_id = (account.tax_id or "") if details.tax_id is None else details.tax_id.strip()
    email = account.email
    if details.email is not None:
        email = check_email(details.email) if details.email.strip() else None
    return replace(
        account,
        legal_name=_text(details.legal_name, account.legal_name, "legalName"),
        email=email,
        address=account.address if details.address is None else _address(details.address),
        country=country,
        tax_id=check_tax_id(tax_id, country or "") if tax_id else None,
        purchase_order=_text(details.purchase_order, account.purchase_order or "", "purchaseOrder", 100) or None,
        locale=account.locale if details.locale is None else _locale(details.locale),
    )


def _text(given: str | None, known: str, name: str, longest: int = 200) -> str:
    if given is None:
        return known
    return check_text(" ".join(given.split(" ")).strip(), field=name, longest=longest, may_be_empty=True)


def _address(given: Address) -> Address:
    return Address(
        line1=_text(given.line1, "", "address.line1"),
        line2=_text(given.line2, "", "address.line2"),
        city=_text(given.city, "", "address.city", 100),
        postal_code=_text(given.postal_code, "", "address.postalCode", 20),
        region=_text(given.region, "", "address.region", 100),
    )


def _country(given: str) -> str | None:
    code = given.strip().upper()
    if code and code not in COUNTRIES:
        raise _invalid("country", "must be a country's two letters by ISO 3166-1, such as DE", given)
    return code or None


def _locale(given: str) -> str:
    text = given.strip().replace("_", "-")
    if not _LOCALE.fullmatch(text):
        raise _invalid("locale", "must be a language, or a language and a country, such as en or pt-BR", given)
    language, *rest = text.split("-")
    return "-".join([language.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)])


def _invalid(name: str, what: str, value: str) -> TallystickError:
    return TallystickError("invalidBillingDetails", f"{name} {what}.", field=name, value=value[:100])


_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?")
_CODES: Final = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK "
    "FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR "
    "IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK "
    "ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF "
    "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK"
)
COUNTRIES: Final = frozenset(_CODES.split())
"""ISO 3166-1 alpha-2, and XK as banks and the European Union use it."""

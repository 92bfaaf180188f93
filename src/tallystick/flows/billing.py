"""What the flows of money are given as one argument: the seller, the providers, and the operator's terms."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from tallystick.domain.billing import dunning
from tallystick.domain.billing.accounts import Account, Address, BankAccount, read_bank_account
from tallystick.domain.billing.dunning import Policy
from tallystick.domain.billing.invoices import Party
from tallystick.domain.billing.payments import Provider
from tallystick.domain.billing.purchases import PurchaseTerms
from tallystick.domain.billing.taxes import TaxService
from tallystick.gateways import taxes
from tallystick.gateways.payments.offline import Offline
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.settings import Settings

_ADDRESS_PARTS = ("line1", "line2", "postal_code", "city", "region")


@dataclass(frozen=True, slots=True)
class Billing:
    """One process's share. `settings` holds every term that is a plain figure; what has to be read once is beside it.

    `bank` is where transfers go, None where the operator named nothing; `grace` is how long a period's invoice waits
    for late usage (rule M28).
    """

    settings: Settings
    seller: Party
    bank: BankAccount | None
    providers: Mapping[str, Provider]
    grace: dt.timedelta
    dunning: Policy
    purchases: PurchaseTerms
    taxes: TaxService

    @property
    def public_url(self) -> str:
        """The address at which browsers reach us, without a slash at its end."""
        return self.settings.public_url or f"http://{self.settings.host}:{self.settings.port}"

    def provider_of(self, account: Account) -> Provider:
        """Who collects from this account. Raises `paymentProviderUnavailable` where it is not set up here."""
        return self.provider(account.provider)

    def provider(self, name: str) -> Provider:
        """The provider called `name`. Raises `paymentProviderUnavailable` where it is not set up here."""
        found = self.providers.get(name)
        if found is None:
            raise TallystickError(
                "paymentProviderUnavailable", f"The payment provider {name} is not set up here.", provider=name
            )
        return found


def billing_of(settings: Settings, providers: Mapping[str, Provider]) -> Billing:
    """The terms that the settings say. Raises `invalidSetting`."""
    return Billing(
        settings=settings,
        seller=seller_of(settings),
        bank=_bank(settings.seller_bank),
        providers=providers,
        grace=dt.timedelta(seconds=settings.invoice_grace_seconds),
        dunning=dunning.policy(
            settings.dunning_days,
            past_due_days=settings.past_due_days,
            uncollectible_days=settings.uncollectible_days,
        ),
        purchases=purchases_of(settings),
        taxes=taxes.load(settings.tax_rates, settings.tax_countries),
    )


def purchases_of(settings: Settings) -> PurchaseTerms:
    """What the settings say of bought credits."""
    return PurchaseTerms(
        unit_price=settings.credit_price,
        currency=settings.currency.lower(),
        least=settings.purchase_credits_min * NANO,
        most=settings.purchase_credits_max * NANO,
        days=settings.purchase_days,
        daily_cap=settings.topup_daily_cap * NANO,
        tax_at=settings.credits_tax_at,
    )


def seller_of(settings: Settings) -> Party:
    """The operator as invoices show it; the address is `street; more; postal code; city; region`."""
    parts = [part.strip() for part in settings.seller_address.split(";")]
    if len(parts) > len(_ADDRESS_PARTS):
        raise _invalid("TALLY_SELLER_ADDRESS", "has more than five parts", settings.seller_address)
    return Party(
        name=settings.seller_name,
        address=Address(**dict(zip(_ADDRESS_PARTS, parts, strict=False))),
        country=settings.seller_country.upper(),
        tax_id=settings.seller_tax_id,
        email=settings.seller_email,
    )


def _bank(text: str | None) -> BankAccount | None:
    if text is None or not text.strip():
        return None
    try:
        return read_bank_account(text)
    except ValueError as error:
        raise _invalid("TALLY_SELLER_BANK", str(error), text) from None


def _invalid(setting: str, why: str, value: str) -> TallystickError:
    return TallystickError("invalidSetting", f"{setting} {why}.", setting=setting, value=value[:200])


def providers_of(settings: Settings) -> Mapping[str, Provider]:
    """The providers that are set up, by name; bank transfer always is."""
    offline = Offline()
    found: dict[str, Provider] = {offline.name: offline}
    if settings.stripe_api_key:
        # Imported here: its library is large, and only those need it who have an account there.
        from tallystick.gateways.payments.stripe import StripeProvider

        stripe = StripeProvider(
            settings.stripe_api_key,
            webhook_secrets=tuple(
                one.strip() for one in (settings.stripe_webhook_secret or "").split(",") if one.strip()
            ),
            api_base=settings.stripe_api_base,
            return_url=settings.public_url or f"http://{settings.host}:{settings.port}",
        )
        found[stripe.name] = stripe
    return found

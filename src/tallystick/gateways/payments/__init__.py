"""Payment providers: who gets the money that is owed; `domain.billing.payments.Provider` is what each can do."""

from collections.abc import Mapping

from tallystick.domain.billing.payments import Provider
from tallystick.gateways.payments.offline import Offline
from tallystick.settings import Settings


def providers(settings: Settings) -> Mapping[str, Provider]:
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

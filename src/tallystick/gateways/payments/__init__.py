"""Payment providers: who gets the money that is owed; `domain.billing.payments.Provider` is what each can do."""

from collections.abc import Mapping

from tallystick.domain.billing.payments import Provider
from tallystick.gateways.payments.offline import Offline
from tallystick.settings import Settings


def providers(settings: Settings) -> Mapping[str, Provider]:
    """The providers that are set up, by name; bank transfer always is."""
    offline = Offline()
    return {offline.name: offline}

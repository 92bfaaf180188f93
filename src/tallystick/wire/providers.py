"""What payment providers are answered."""

from typing import Literal

from tallystick.wire.identity import Wire


class WebhookHeard(Wire):
    """What became of a webhook: `duplicate` was heard before, `ignored` is of no interest, or of nobody here."""

    outcome: Literal["applied", "duplicate", "ignored"]

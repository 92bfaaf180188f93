"""Refunds: how an event that takes back a charge of a run is called (rule M11)."""

from typing import Final

REFUND: Final = "run.refund"
"""Its type."""
SOURCE: Final = "tallystick/refunds"
"""Its source; its id is that of the row that it takes back."""

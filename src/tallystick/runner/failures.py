"""How a node fails, and how a run is stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallystick.kernel.errors import TallystickError


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used, as the type of a usage event and the fields of its data (`client.events.UsageData`)."""

    type: str
    fields: Mapping[str, Any]


class NodeError(TallystickError):
    """A node could not do its work. `again` says whether another attempt may help, `usage` what was used all the same.

    `output` is what later nodes may read of it, on the way over the fallback.
    """

    def __init__(
        self, code: str, message: str, *, again: bool = False, usage: Usage | None = None, output: Any = None
    ) -> None:
        super().__init__(code, message)
        self.again = again
        self.usage = usage
        self.output = output


class RunRefusedError(TallystickError):
    """A gate said no: the code is its reason. The run ends here, whatever its fallbacks."""


class RunCancelledError(Exception):
    """Somebody cancelled the run."""


class LeaseLostError(Exception):
    """The run is no longer this runner's: somebody else has it, or it has ended."""

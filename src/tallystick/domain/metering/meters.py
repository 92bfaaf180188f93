"""Meters: what each type of usage event counts, under which category and slug it is charged and shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tallystick.kernel.errors import TallystickError

CATEGORIES: Final = (
    "llm",
    "tool_calls",
    "storage",
    "execution",
    "hosting",
    "guardrail",
    "script",
    "fine_tuning",
    "other",
)
"""Line items of a charge (rule M9)."""

UNKNOWN: Final = "unknown"
"""Stands in a slug for a provider, integration or action that the event does not name."""

MAX_TYPE: Final = 100


@dataclass(frozen=True, slots=True)
class Meter:
    """`slug` may hold `{provider}`, `{integration}` and `{action}`; `unit` names what a quantity of 1 is."""

    type: str
    category: str
    slug: str
    unit: str
    builtin: bool = False

    def slug_for(self, provider: str | None = None, integration: str | None = None, action: str | None = None) -> str:
        """The slug of one event's charge, such as `integration.openai.chat` or `native.execution`."""
        slug = self.slug
        if "{" not in slug:
            return slug
        slug = slug.replace("{provider}", provider or UNKNOWN)
        return slug.replace("{integration}", integration or UNKNOWN).replace("{action}", action or UNKNOWN)


LLM_TOKENS: Final = "llm.tokens"
TOOL_CALL: Final = "tool.call"
DEPLOYMENT_TIME: Final = "deployment.time"
GUARDRAIL_TIME: Final = "guardrail.time"
SCRIPT_TIME: Final = "script.time"
FINE_TUNING_JOB: Final = "fine_tuning.job"
FINE_TUNING_TIME: Final = "fine_tuning.time"
STORAGE_RECORDS: Final = "storage.records"
EXECUTION: Final = "orchestration.execution"
DIRECT_CHARGE: Final = "direct.charge"

SHIPPED: Final = tuple(
    Meter(type_, category, slug, unit, builtin=True)
    for type_, category, slug, unit in (
        (LLM_TOKENS, "llm", "integration.{provider}.chat", "tokens"),
        (TOOL_CALL, "tool_calls", "integration.{integration}.action.{action}", "calls"),
        (STORAGE_RECORDS, "storage", "native.storage", "records"),
        ("storage.bytes", "storage", "native.storage", "bytes"),
        (EXECUTION, "execution", "native.execution", "executions"),
        (DEPLOYMENT_TIME, "hosting", "native.hosting", "seconds"),
        (FINE_TUNING_JOB, "fine_tuning", "native.fineTuning", "tokens"),
        (FINE_TUNING_TIME, "fine_tuning", "native.fineTuning", "seconds"),
        (GUARDRAIL_TIME, "guardrail", "native.guardrail", "seconds"),
        (SCRIPT_TIME, "script", "native.script", "seconds"),
        ("asset.created", "other", "native.asset", "assets"),
        ("moderation.flag", "other", "native.moderation", "flags"),
        (DIRECT_CHARGE, "other", "native.direct", "credits"),
    )
)
"""The types that every installation knows."""

RUNNING_TIME: Final = frozenset({DEPLOYMENT_TIME, GUARDRAIL_TIME, SCRIPT_TIME})
"""Time that goes on and is reported in pieces: charged as f(now) − already charged, whatever the pieces (rule M3)."""

PRICED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {**dict.fromkeys(RUNNING_TIME, "profile"), FINE_TUNING_TIME: "profile", FINE_TUNING_JOB: "complexity"}
)
"""Types for which a name in the data may have a price of its own, `<type>/<name>`, and which of the data that is."""

PRICED_AS: Final[Mapping[str, str]] = MappingProxyType({FINE_TUNING_TIME: DEPLOYMENT_TIME})
"""Types that, without a price of their own, cost what another one does: hardware has one price, whatever it is for."""


def check_meter(meter: Meter) -> Meter:
    """The meter itself, when an operator may define it. Raises `invalidMeter`, naming the field."""
    if not _is_dotted(meter.type) or len(meter.type) > MAX_TYPE:
        raise _invalid("type", meter.type, "lower-case words joined by dots, such as `search.query`")
    if meter.category not in CATEGORIES:
        raise _invalid("category", meter.category, f"one of {', '.join(CATEGORIES)}")
    if not 0 < len(meter.slug) <= MAX_TYPE or any(not c.isalnum() and c not in "._-{}" for c in meter.slug):
        raise _invalid("slug", meter.slug, "letters, digits, dots, dashes and underscores")
    if not 0 < len(meter.unit) <= MAX_TYPE:
        raise _invalid("unit", meter.unit, "the name of what is counted")
    return meter


def _is_dotted(text: str) -> bool:
    words = text.split(".")
    return len(words) > 1 and all(
        word.isascii() and word.replace("_", "").isalnum() and word == word.lower() for word in words
    )


def _invalid(field: str, value: str, expected: str) -> TallystickError:
    return TallystickError(
        "invalidMeter", f"The meter's {field} must be {expected}.", field=field, value=value[: MAX_TYPE + 1]
    )

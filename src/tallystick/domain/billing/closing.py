"""The invoice of a billing period: which lines it has (rules M12, M28), as a function of what was agreed and used.

The next period's plan price in advance, what was used beyond the credits in arrears; what credits paid for is listed
by category at no money, and late or corrected usage of earlier periods in lines that name theirs.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final
from uuid import UUID

from tallystick.domain.billing.invoices import Line, LineKind, Used, new_line
from tallystick.domain.billing.plans import PlanVersion
from tallystick.kernel.credits import NANO, divide_half_even, format_credits
from tallystick.kernel.ids import uuid7
from tallystick.kernel.periods import Period

MARGIN: Final = dt.timedelta(minutes=5)
"""What was booked in the last minutes before an invoice is issued goes on the next one: until then a commit may still
be under way whose charges are numbered lower than those that can be seen."""

LIST_PRICE: Final = NANO
"""10⁻⁹ minor units for a credit used beyond all grants where the contract names no price: one cent (rule M1)."""

BEFORE: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Stands as the start of the time before a workspace's first billing period."""

LABELS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "llm": ("Language models", "tokens"),
        "tool_calls": ("Tool calls", "calls"),
        "storage": ("Storage", "records"),
        "execution": ("Executions", "executions"),
        "hosting": ("Hosting", "seconds"),
        "guardrail": ("Guardrails", "seconds"),
        "script": ("Scripts", "seconds"),
        "fine_tuning": ("Fine-tuning", "units"),
        "other": ("Other usage", "units"),
    }
)
"""What a category of usage is called on an invoice, and what its quantity counts (rule M9)."""


def watermark(issued_at: dt.datetime, *, is_last: bool = False) -> UUID:
    """No charge above it is on an invoice issued then; on the last one of a closed workspace is everything."""
    return uuid7(issued_at, (1 << 74) - 1) if is_last else uuid7(issued_at - MARGIN, 0)


def plan_line(plan: PlanVersion, period: Period) -> Line | None:
    """The price of a plan for one period, in advance; None where it has none."""
    if not plan.price_minor:
        return None
    return new_line(
        "plan",
        f"{plan.name} plan",
        plan.price_minor,
        unit="period",
        period_start=period.start,
        period_end=period.end,
        details={"planVersionId": str(plan.id), "plan": plan.plan, "cadence": plan.cadence},
    )


def overage_of(overdraft: int, most: int | None) -> int:
    """How much of an overdraft is invoiced, in nano-credits: as far as a workspace may go, None without end (M12)."""
    return max(overdraft if most is None else min(overdraft, most), 0)


def overage_line(plan: PlanVersion, beyond: int, period: Period) -> Line:
    """What nano-credits used beyond all grants cost, in arrears, rounded once."""
    price = LIST_PRICE if plan.overage_price is None else plan.overage_price
    return new_line(
        "overage",
        "Credits used beyond those included",
        divide_half_even(beyond * price, NANO * NANO),
        quantity=units(beyond),
        unit="credits",
        unit_price=units(price),
        credits=beyond,
        period_start=period.start,
        period_end=period.end,
        details={"planVersionId": str(plan.id)},
    )


def usage_lines(used: Iterable[Used], period: Period) -> list[Line]:
    """One line for each category used in the period, at no money: credits paid for it."""
    return _lines("usage", used, {period.start: period.end})


def adjustment_lines(used: Iterable[Used], ends: Mapping[dt.datetime, dt.datetime]) -> list[Line]:
    """One line for each earlier period and category in which usage came late or was corrected. `ends`: by start."""
    return _lines("adjustment", used, ends)


def _lines(kind: LineKind, used: Iterable[Used], ends: Mapping[dt.datetime, dt.datetime]) -> list[Line]:
    sums: dict[tuple[dt.datetime, int, str], list[Used]] = {}
    places = list(LABELS)
    for one in used:
        place = places.index(one.category) if one.category in LABELS else len(places)
        sums.setdefault((one.period_start, place, one.category), []).append(one)
    return [
        _line(kind, category, start, ends[start], group)
        for (start, _, category), group in sorted(sums.items())
        if any(one.events or one.quantity or one.credits or one.tool_runs for one in group)
    ]


def _line(kind: LineKind, category: str, start: dt.datetime, end: dt.datetime, group: list[Used]) -> Line:
    label, unit = LABELS.get(category, (category, "units"))
    tool_runs = sum(one.tool_runs for one in group)
    return new_line(
        kind,
        label,
        0,
        quantity=sum((one.quantity for one in group), Decimal(0)),
        unit=unit,
        unit_price=Decimal(0),
        credits=sum(one.credits for one in group),
        period_start=None if start == BEFORE else start,
        period_end=end,
        details={"category": category, "events": sum(one.events for one in group)}
        | ({"toolRuns": str(units(tool_runs))} if tool_runs else {}),
    )


def units(nano: int) -> Decimal:
    """Whole units, with no more decimals than there are."""
    return Decimal(format_credits(nano))

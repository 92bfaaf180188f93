"""Banners and the credit-usage widget: what a platform shows on top of its own pages (rows B3, B4)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal
from uuid import UUID

from tallystick.domain.credits.balances import State
from tallystick.domain.identity.rights import BILLING_READ, BILLING_WRITE
from tallystick.domain.telling import banners as domain
from tallystick.domain.telling.banners import Banner, Support
from tallystick.flows import dismissals, due, portal
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import banners, standing, widget
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import Guard, requires
from tallystick.surfaces.api.routes.payments import base_url
from tallystick.wire import banners as wire
from tallystick.wire.amounts import Credits
from tallystick.wire.identity import UnitName

ROUTES = Routes("Banners")

_HUNDREDTH: Final = NANO // 100
_NAMES: Final[dict[str, UnitName]] = {"credits": "credits", "toolRuns": "toolRuns"}
_ICONS: Final[dict[State, Literal["green", "yellow", "red", "warning"]]] = {
    "healthy": "green",
    "moderate": "yellow",
    "low": "red",
    "exhausted": "warning",
}


@ROUTES.get("/v1/banners", Guard("bearer", in_workspace=True))
async def list_banners(call: Call) -> wire.BannersAnswer:
    """The current banners that the caller did not dismiss, the most pressing first.

    Without `billing:read` there are no figures: one banner while new runs are paused, none else.
    """
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    if not call.principal.may(BILLING_READ):
        return _on_wire([domain.paused()] if await _is_paused(call) else [])
    return _on_wire(await _shown(call))


@ROUTES.post(
    "/v1/banners/{id}/dismiss", requires(BILLING_READ), status=200, errors=("bannerNotFound", "bannerNotRemovable")
)
async def dismiss_banner(call: Call, id: str) -> wire.BannersAnswer:  # noqa: A002 - named as in the path
    """Put a banner away for the caller, until the next threshold or allocation. Answers those that are left.

    It is the choice of the person whose token it is; of a token that is nobody's, the token's own.
    """
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    everything = await banners.everything(
        call.runtime.database,
        call.workspace_id,
        support=_support(call),
        terms=call.runtime.billing.dunning,
        now=call.now,
    )
    banner = next((one for one in everything if one.id == id), None)
    if banner is None:
        raise TallystickError("bannerNotFound", "There is no such banner now.", id=id[:64])
    await dismissals.dismiss(
        call.runtime.database, banner, workspace_id=call.workspace_id, person_id=_who(call), now=call.now
    )
    return _on_wire(await _shown(call))


@ROUTES.get("/v1/widget", requires(BILLING_READ))
async def get_widget(call: Call) -> wire.WidgetAnswer:
    """What the credit-usage widget shows: totals and what is left of both balances, and what used the credits."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await widget.widget(call.runtime.database, call.workspace_id, call.now)
    in_credits, in_tool_runs = (
        wire.WidgetBalance(
            total=Credits(balance.granted),
            remaining=Credits(max(balance.posted, 0)),
            used=Credits(balance.used),
            used_percent=Credits(balance.used_hundredths * _HUNDREDTH),
            posted=Credits(balance.posted),
            held=Credits(balance.held),
            state=balance.state,
            expires_at=expires_at,
        )
        for balance, expires_at in found.balances
    )
    return wire.WidgetAnswer(
        widget=wire.Widget(
            account_id=call.workspace_id,
            state=found.state,
            icon=_ICONS[found.state],
            credits=in_credits,
            tool_runs=in_tool_runs,
            used=wire.WidgetUsage(**{name: Credits(amount) for name, amount in found.used.items()}),
            as_of=call.now,
        )
    )


async def _shown(call: Call) -> list[Banner]:
    """Those that the caller did not put away; where they are about paying, with our page for who may pay."""
    support = _support(call)

    async def ask() -> list[Banner]:
        terms, who = call.runtime.billing.dunning, _who(call)
        return await banners.banners(
            call.runtime.database, call.workspace_id, who, support=support, terms=terms, now=call.now
        )

    found = await ask()
    if not call.principal.may(BILLING_WRITE) or not any(one.kind in domain.ABOUT_PAYING for one in found):
        return found
    runtime = call.runtime
    url = await portal.own_page(
        runtime.database,
        runtime.billing,
        call.workspace_id,
        base_url=base_url(call),
        real_now=call.received_at,
        ids=call.ids,
    )
    support = replace(support, payment_url=url)
    return await ask()


async def _is_paused(call: Call) -> bool:
    """Whether a new run is refused for want of money or standing; holds and caps of its own come and go."""
    found = await standing.situation(call.runtime.database, call.workspace_id, now=call.now)
    funds = {unit: replace(one, held=0) for unit, one in found.funds.items()}
    return not replace(found, funds=funds, budgets=()).decide("run").allowed


def _who(call: Call) -> UUID:
    return call.principal.person_id or call.principal.token_id


def _support(call: Call) -> Support:
    settings = call.runtime.settings
    return Support(settings.support_email or None, settings.support_url or None)


def _on_wire(found: Sequence[Banner]) -> wire.BannersAnswer:
    return wire.BannersAnswer(
        banners=[
            wire.Banner(
                id=banner.id,
                kind=banner.kind,
                unit=_NAMES[banner.unit] if banner.unit else None,
                percent=banner.percent,
                used_percent=None if banner.used_hundredths is None else Credits(banner.used_hundredths * _HUNDREDTH),
                message=banner.message,
                removable=banner.is_removable,
                action=wire.BannerAction(way=banner.action.way, label=banner.action.label, url=banner.action.url)
                if banner.action
                else None,
            )
            for banner in found
        ]
    )

"""Every route of the API: one module a noun, one line a module."""

from tallystick.surfaces.api.endpoints import Endpoint, Routes
from tallystick.surfaces.api.routes import (
    balances,
    billing,
    budgets,
    deployments,
    clocks,
    discovery,
    estimates,
    events,
    fine_tuning,
    gates,
    grants,
    hardware,
    health,
    holds,
    members,
    orchestration,
    people,
    prices,
    receipts,
    resources,
    runners,
    tokens,
    usage,
    webhooks,
    workspaces,
)

ALL: tuple[Routes, ...] = (
    health.ROUTES,
    people.ROUTES,
    workspaces.ROUTES,
    clocks.ROUTES,
    grants.ROUTES,
    members.ROUTES,
    tokens.ROUTES,
    resources.ROUTES,
    prices.ROUTES,
    receipts.ROUTES,
    estimates.ROUTES,
    events.ROUTES,
    usage.ROUTES,
    balances.ROUTES,
    holds.ROUTES,
    gates.ROUTES,
    budgets.ROUTES,
    deployments.ROUTES,
    hardware.ROUTES,
    fine_tuning.ROUTES,
    billing.ROUTES,
    webhooks.ROUTES,
    discovery.ROUTES,
    orchestration.ROUTES,
    runners.ROUTES,
)


def endpoints() -> list[Endpoint]:
    """Every endpoint, in the order of the modules above."""
    return [endpoint for routes in ALL for endpoint in routes.endpoints]

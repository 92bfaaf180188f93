"""Prices and meters: read by who may see bills, appended by the operator."""

from decimal import Decimal

from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.metering.meters import Meter
from tallystick.domain.metering.prices import BEGINNING, PriceVersion
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.domain.times import check_time
from tallystick.flows import prices as flow
from tallystick.queries import prices as queries
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR, requires
from tallystick.wire import prices as wire

ROUTES = Routes("Prices")

_READER = requires(BILLING_READ, in_workspace=False)


@ROUTES.get("/v1/prices", _READER, errors=("invalidTime",))
async def list_prices(call: Call, query: wire.PriceList) -> wire.PricesAnswer:
    """A page of price versions by target, the operator's own before shipped and public ones of the same target."""
    found = await queries.price_versions(
        call.runtime.database,
        prefix=query.target,
        at=check_time(query.at, field="at") if query.at else None,
        workspace_id=None if call.principal.is_operator else call.workspace_id,
        limit=query.limit,
        offset=query.offset,
    )
    whole = call.principal.is_operator
    return wire.PricesAnswer(prices=[price_on_wire(version, whole=whole) for version in found])


@ROUTES.post(
    "/v1/prices",
    OPERATOR,
    errors=("invalidPrice", "invalidText", "invalidTime", "priceVersionExists", "unknownMeter"),
)
async def add_price(call: Call, body: wire.AddPrice) -> wire.PriceAnswer:
    """Append a price version. Versions are never edited: a change is a version with a later `validFrom`."""
    version = await flow.add_version(
        call.runtime.database,
        target=body.target,
        model=body.model,
        rates=body.rates,
        valid_from=body.valid_from,
        reason=check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION, may_be_empty=True),
        credits_per_usd=Decimal(call.runtime.settings.credits_per_usd),
        now=call.received_at,
        ids=call.ids,
        actor=call.principal.actor,
    )
    return wire.PriceAnswer(price=price_on_wire(version, whole=True))


@ROUTES.get("/v1/meters", _READER)
async def list_meters(call: Call) -> wire.MetersAnswer:
    """Every type of usage event, with the category and slug of its charges."""
    return wire.MetersAnswer(meters=[_meter_on_wire(meter) for meter in await queries.meters(call.runtime.database)])


@ROUTES.post("/v1/meters", OPERATOR, errors=("invalidMeter", "invalidText", "meterExists"))
async def add_meter(call: Call, body: wire.AddMeter) -> wire.MeterAnswer:
    """Define a type of usage event; until it has a price, its events are unpriced."""
    meter = await flow.add_meter(
        call.runtime.database,
        Meter(body.type, body.category, body.slug, body.unit),
        reason=check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION, may_be_empty=True),
        now=call.received_at,
        ids=call.ids,
        actor=call.principal.actor,
    )
    return wire.MeterAnswer(meter=_meter_on_wire(meter))


def price_on_wire(version: PriceVersion, *, whole: bool) -> wire.Price:
    """`whole` shows what the price was made from, which tells the operator's markup."""
    return wire.Price(
        uuid=version.id,
        target=version.target,
        valid_from=None if version.valid_from == BEGINNING else version.valid_from,
        model=version.model,
        rates={name: value for name, value in version.rates.items() if whole or name != "cost"},
        origin=version.origin,
        source=version.source,
        source_text=version.source_text if whole else None,
        created_at=version.created_at,
    )


def _meter_on_wire(meter: Meter) -> wire.Meter:
    return wire.Meter(type=meter.type, category=meter.category, slug=meter.slug, unit=meter.unit, builtin=meter.builtin)

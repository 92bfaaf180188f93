"""What pieces of running time will cost before they are booked: the prices of few targets and their counters."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from tallystick.domain.deployments import accrual
from tallystick.domain.deployments.deployment import Deployment
from tallystick.domain.deployments.profiles import EVENT_TYPES, HOUR, targets_for_time
from tallystick.domain.metering.prices import PriceBook, PriceVersion
from tallystick.domain.metering.pricing import Use, amount, tariff_for_type, version_for
from tallystick.domain.metering.rates import Volume
from tallystick.domain.metering.rating import Quantity
from tallystick.store import running, subscriptions, usage
from tallystick.store.database import Connection
from tallystick.store.subscriptions import Calendar
from tallystick.store.usage import CounterKey


@dataclass(frozen=True, slots=True)
class Piece:
    """[start, end) of one deployment, with the replicas and hardware that it has."""

    deployment: Deployment
    start: dt.datetime
    end: dt.datetime

    @property
    def microseconds(self) -> int:
        """Replica time."""
        return (accrual.microseconds(self.end) - accrual.microseconds(self.start)) * self.deployment.replicas

    @property
    def quantity(self) -> Quantity:
        """Seconds × replicas."""
        return accrual.quantity(self.start, self.end, self.deployment.replicas)


class TimeCosts:
    """Prices and counters of a workspace's running deployments. `take` moves the counters along, `cost` does not."""

    def __init__(
        self,
        workspace_id: UUID,
        prices: PriceBook,
        counters: dict[CounterKey, Quantity],
        calendar: Calendar | None,
    ) -> None:
        self.prices = prices
        self.changes: Sequence[dt.datetime] = sorted({version.valid_from for version in prices.versions()})
        self._workspace_id = workspace_id
        self._counters = counters
        self._calendar = calendar

    @classmethod
    async def load(cls, conn: Connection, workspace_id: UUID, found: Collection[Deployment]) -> "TimeCosts":
        """Those that these deployments may be charged by."""
        wanted = {target for one in found for target in targets_for_time(one.kind, one.profile or "")}
        prices = await running.price_book(conn, wanted)
        calendars = await subscriptions.calendars(conn, [workspace_id])
        counters = await usage.counters(conn, [workspace_id], wanted)
        return cls(workspace_id, prices, counters, calendars.get(workspace_id))

    def cost(self, pieces: Iterable[Piece]) -> int:
        """Nano-credits that these pieces would come to if they came next."""
        return self._rate(pieces, {})

    def take(self, pieces: Iterable[Piece]) -> int:
        """The same, and that they do come next."""
        moved: dict[CounterKey, Quantity] = {}
        total = self._rate(pieces, moved)
        self._counters |= moved
        return total

    def is_steady(self, pieces: Iterable[Piece]) -> bool:
        """Whether what these pieces cost only grows with time; a volume price falls, for all that was used, between two
        of its tiers."""
        moved: dict[CounterKey, Quantity] = {}
        for piece in pieces:
            version = version_for(self._use(piece))
            if version is None or not isinstance(version.compiled, Volume):
                continue
            key = self._counter(version, piece)
            before = moved.get(key, self._counters.get(key, 0))
            moved[key] = before + piece.quantity
            if any(tier.up_to is not None and before <= tier.up_to < moved[key] for tier in version.compiled.tiers):
                return False
        return True

    async def renewed(self, conn: Connection) -> None:
        """Go by the billing calendar as it is now."""
        self._calendar = (await subscriptions.calendars(conn, [self._workspace_id])).get(self._workspace_id)

    def hourly(self, deployment: Deployment, at: dt.datetime) -> int | None:
        """What an hour of all replicas costs; None where it has no price."""
        tariff = tariff_for_type(self.prices, EVENT_TYPES[deployment.kind], deployment.profile)
        use = Use(tariff, at, HOUR * deployment.replicas)
        version = version_for(use)
        return None if version is None else amount(version, use)

    def _rate(self, pieces: Iterable[Piece], moved: dict[CounterKey, Quantity]) -> int:
        total = 0
        for piece in pieces:
            use = self._use(piece)
            version = version_for(use)
            if version is None:
                continue
            if not version.is_tiered:
                total += amount(version, use)
                continue
            key = self._counter(version, piece)
            before = moved.get(key, self._counters.get(key, 0))
            total += amount(version, use, before)
            moved[key] = before + piece.quantity
        return total

    def _use(self, piece: Piece) -> Use:
        kind, profile = piece.deployment.kind, piece.deployment.profile
        return Use(tariff_for_type(self.prices, EVENT_TYPES[kind], profile), piece.start, piece.quantity)

    def _counter(self, version: PriceVersion, piece: Piece) -> CounterKey:
        return self._workspace_id, version.target, subscriptions.period_start(self._calendar, piece.start)

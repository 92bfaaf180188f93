"""The composition root: settings become a database, gateways, a clock and ids, and surfaces take all from here."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tallystick.domain.credits.limits import Limits
from tallystick.flows import limits, prices, profiles, subscriptions
from tallystick.flows.billing import Billing, billing_of, providers_of
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.clocks import Clocks
from tallystick.flows.committer import Committer
from tallystick.flows.ingest import IngestLimits
from tallystick.flows.names import Names
from tallystick.flows.telling import UNSENT, Letterhead
from tallystick.gateways.documents.pdf import Look, Printer
from tallystick.gateways.mail import Post, read_sender, read_server
from tallystick.gateways.model_prices import ModelDirectory
from tallystick.gateways.webhooks import WebhookPoster
from tallystick.kernel.addresses import Allowed
from tallystick.kernel.clock import Clock, SystemClock
from tallystick.kernel.credits import parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids, ServerIds
from tallystick.queries.identity import Authenticator
from tallystick.settings import Settings
from tallystick.store import backup, migrate
from tallystick.store.database import Database


class Server(Protocol):
    """A PostgreSQL server that we started and have to stop."""

    url: str

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """`url` is a connection string of libpq, `version` PostgreSQL's, `migrations` those applied, oldest first."""

    url: str
    version: str
    migrations: tuple[str, ...]
    is_embedded: bool


@dataclass(slots=True)
class Runtime:
    """One process's share of everything. Make it with `open`, end it with `close`."""

    settings: Settings
    database: Database
    clock: Clock
    ids: Ids
    authenticator: Authenticator
    catalogs: CatalogCache
    models: ModelDirectory
    names: Names
    committer: Committer
    clocks: Clocks
    webhook_hosts: Allowed
    webhooks: WebhookPoster
    billing: Billing
    printer: Printer
    server: Server | None = None
    post: Post | None = None
    letterhead: Letterhead = UNSENT

    @classmethod
    async def open(
        cls, settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None, prepare: bool = True
    ) -> "Runtime":
        """Start or reach the database, bring its schema and shipped data up to date, and connect.

        Without `TALLY_DATABASE_URL` the embedded server is started in `TALLY_HOME`. `prepare` False leaves the schema
        as it is. Raises `invalidSetting`, `databaseUnavailable`, `databaseNewer`, `serverTooOld` and what the embedded
        server raises.
        """
        clock, ids = clock or SystemClock(), ids or ServerIds()
        post, letterhead = _mail(settings)
        server: Server | None = None
        url = settings.database_url
        if url is None:
            server = await asyncio.to_thread(_start_embedded, settings)
            url = server.url
        runtime = cls._assemble(settings, url, clock, ids, server)
        runtime.post, runtime.letterhead = post, letterhead
        try:
            await runtime.database.open()
            if prepare:
                await runtime.prepare()
            # Seven tenths of a second once, here and not within the first request.
            await asyncio.to_thread(runtime.models.load)
        except BaseException:
            await runtime.close()
            raise
        return runtime

    @classmethod
    def _assemble(cls, settings: Settings, url: str, clock: Clock, ids: Ids, server: Server | None) -> "Runtime":
        database = Database(url, settings.data_database_url, pool_size=settings.pool_size)
        catalogs = CatalogCache()
        webhook_hosts = Allowed.listed(settings.webhook_allowed_hosts)
        models = ModelDirectory()
        names = Names(models)
        committer = Committer(
            database,
            names=names,
            catalogs=catalogs,
            limits=IngestLimits(settings.resources_max, settings.hourly_rollup_days),
            ids=ids,
            lanes=settings.lanes,
            commit_max=settings.batch_events_max,
            queue_max=settings.queue_events_max,
        )
        billing = billing_of(settings, providers_of(settings))
        return cls(
            settings,
            database,
            clock,
            ids,
            Authenticator(database),
            catalogs,
            models,
            names,
            committer,
            Clocks(),
            webhook_hosts,
            WebhookPoster(webhook_hosts, seconds=settings.webhook_seconds),
            billing,
            _printer(settings, billing),
            server,
        )

    async def prepare(self) -> list[str]:
        """Migrate, and put in place the limits, what ships (plans, hardware, meters, prices) and the public prices.

        The names of the migrations applied.
        """
        now = self.clock.now()
        async with self.database.admin() as conn:
            applied = await migrate.migrate(conn, now)
        await limits.ship_default(self.database, _limits(self.settings), now)
        await subscriptions.ship_plans(self.database)
        await profiles.ship_profiles(self.database)
        await prices.ship_catalog(self.database, now)
        await prices.import_packaged(
            self.database,
            credits_per_usd=self.settings.credits_per_usd,
            markup=self.settings.markup,
            now=now,
            ids=self.ids,
        )
        return applied

    async def readiness(self) -> dict[str, bool]:
        """What has to be true before requests are sent here, one by one. Never raises."""
        room = self.committer.queued < self.settings.queue_events_max
        checks = {"database": False, "migrations": False, "queue": room}
        try:
            async with self.database.read() as conn:
                applied = await migrate.applied(conn)
        except TallystickError:
            return checks
        return {"database": True, "migrations": set(migrate.available()) <= set(applied), "queue": room}

    def listens_on(self, port: int) -> None:
        """Which port was picked, where the settings named none: links to our own pages have it."""
        if self.settings.port == port:
            return
        self.settings = replace(self.settings, port=port)
        self.billing = replace(self.billing, settings=self.settings)
        self.letterhead = replace(self.letterhead, public_url=self.billing.public_url)

    def gauges(self) -> dict[str, int]:
        """What waits at this instant, by name, for `/metrics`."""
        return {"events_queued": self.committer.queued}

    async def state(self) -> "DatabaseState":
        """Which database this is and how far its schema is."""
        async with self.database.admin() as conn:
            version = conn.info.server_version
            applied = await migrate.applied(conn)
        return DatabaseState(
            self.url, f"{version // 10_000}.{version % 10_000}", tuple(applied), self.server is not None
        )

    def backup(self, path: Path) -> int:
        """`store.backup.backup` of our database. Blocks."""
        return backup.backup(self.url, self.settings.pg_bindir, path)

    def restore(self, path: Path, *, force: bool) -> None:
        """`store.backup.restore` into our database. Blocks."""
        backup.restore(self.url, self.settings.pg_bindir, path, force=force)

    @property
    def url(self) -> str:
        """The database as a libpq connection string."""
        return self.settings.database_url or (self.server.url if self.server is not None else "")

    async def close(self) -> None:
        """Finish what is in flight, close connections, stop the embedded server."""
        try:
            await self.committer.close()
            await self.webhooks.close()
            await asyncio.to_thread(self.printer.close)
            for provider in self.billing.providers.values():
                await provider.close()
        finally:
            await self.database.close()
            if self.server is not None:
                await asyncio.to_thread(self.server.stop)


def _limits(settings: Settings) -> Limits:
    """What counts for workspaces without limits of their own (rule M16)."""
    return Limits(
        deploy_threshold=parse_credits(settings.deploy_threshold, field="deployThreshold"),
        low_limit=parse_credits(settings.low_limit, field="lowLimit"),
        negative_limit=parse_credits(settings.negative_limit, field="negativeLimit", signed=True),
        fine_tune_minimum=parse_credits(settings.fine_tune_minimum, field="fineTuneMinimum"),
        comply_seconds=settings.comply_seconds,
        metering_seconds=settings.metering_seconds,
    )


def _start_embedded(settings: Settings) -> Server:
    # Imported here: with a server of one's own nothing of this is needed.
    from tallystick.store.embedded import EmbeddedServer

    return EmbeddedServer.start(settings.home, bindir=settings.pg_bindir)


def _printer(settings: Settings, billing: Billing) -> Printer:
    look = Look(logo=settings.seller_logo, bank=billing.bank, fonts=settings.document_fonts)
    return Printer(look, workers=settings.document_workers)


def _mail(settings: Settings) -> tuple[Post | None, Letterhead]:
    sender = read_sender(settings.mail_from)
    post = Post(read_server(settings.smtp_url), sender, settings.support_email) if settings.smtp_url else None
    return post, Letterhead(
        sender=sender.name or sender.address,
        host=sender.host,
        support_email=settings.support_email,
        support_url=settings.support_url,
        is_sent=post is not None,
        public_url=settings.public_url or f"http://{settings.host}:{settings.port}",
    )

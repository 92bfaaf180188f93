"""Webhook endpoints: made, changed, given a new secret, tested, and their deliveries replayed (row E10).

`now` is the machine's time here, also for a workspace with a test clock: the receivers are real.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tallystick.domain.telling.facts import Fact
from tallystick.domain.telling.webhooks import TEST, Endpoint, check_kinds, check_url, shown_url
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows.budgets import Author
from tallystick.kernel.addresses import Allowed, literal
from tallystick.kernel.errors import TallystickError
from tallystick.store import audit, budget_admin, deliveries, webhooks
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to make; `kinds` empty: it gets facts of all kinds."""

    url: str
    description: str = ""
    kinds: Sequence[str] = ()
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change of an endpoint; None leaves it as it is."""

    url: str | None = None
    description: str | None = None
    kinds: Sequence[str] | None = None
    is_enabled: bool | None = None


async def create(
    database: Database, new: NewEndpoint, author: Author, *, secret: str, allowed: Allowed, most: int
) -> Endpoint:
    """Make an endpoint; facts that happen from now on go to it.

    Its `secret` is another one than that given where an earlier request with the same key made it.

    Raises `invalidUrl`, `invalidText`, `unknownFactKind`, `tooManyWebhooks` beyond `most`, `idempotencyConflict`.
    """
    _check_address(new.url, allowed)
    check_text(new.description, field="description", longest=LONGEST_DESCRIPTION, may_be_empty=True)
    kinds = check_kinds(new.kinds)

    async def make(conn: Connection) -> UUID:
        if not await budget_admin.lock(conn, author.workspace_id):
            raise TallystickError(
                "workspaceNotFound", "There is no such workspace.", workspaceUuid=str(author.workspace_id)
            )
        if await webhooks.count(conn, author.workspace_id) >= most:
            raise TallystickError("tooManyWebhooks", f"A workspace has at most {most} webhook endpoints.", limit=most)
        endpoint = Endpoint(
            workspace_id=author.workspace_id,
            id=author.ids.new(author.now),
            url=new.url,
            description=new.description,
            kinds=kinds,
            secret=secret,
            previous_secret=None,
            previous_until=None,
            is_enabled=new.is_enabled,
            disabled_because=None if new.is_enabled else "asked",
            failing_since=None,
            failing_told_at=None,
            created_at=author.now,
            updated_at=author.now,
            deleted_at=None,
        )
        await webhooks.insert(conn, endpoint)
        await _tell(conn, "webhook.created", endpoint, author)
        return endpoint.id

    return await _once(database, author, make)


async def change(
    database: Database, endpoint_id: UUID, changes: Changes, author: Author, *, allowed: Allowed
) -> Endpoint:
    """Change where facts go, which of them, or whether at all.

    Disabling lets die what waits; it can be replayed once the endpoint is enabled again. What happens meanwhile
    does not go to it. Raises `webhookNotFound`, `invalidUrl`, `invalidText`, `unknownFactKind`, `idempotencyConflict`.
    """
    if changes.url is not None:
        _check_address(changes.url, allowed)
    if changes.description is not None:
        check_text(changes.description, field="description", longest=LONGEST_DESCRIPTION, may_be_empty=True)
    kinds = None if changes.kinds is None else check_kinds(changes.kinds)

    async def make(conn: Connection) -> UUID:
        before = await live(conn, author.workspace_id, endpoint_id)
        after = replace(
            before,
            url=before.url if changes.url is None else changes.url,
            description=before.description if changes.description is None else changes.description,
            kinds=before.kinds if kinds is None else kinds,
        )
        if changes.is_enabled is True and not before.is_enabled:
            after = replace(after, is_enabled=True, disabled_because=None, failing_since=None, failing_told_at=None)
        elif changes.is_enabled is False and before.is_enabled:
            after = replace(after, is_enabled=False, disabled_because="asked")
            await deliveries.abandon(conn, after, author.now)
        if after != before:
            await webhooks.update(conn, replace(after, updated_at=author.now))
            await _tell(conn, "webhook.changed", after, author)
        return endpoint_id

    return await _once(database, author, make)


async def rotate(
    database: Database, endpoint_id: UUID, author: Author, *, secret: str, overlap: dt.timedelta
) -> Endpoint:
    """Give an endpoint a new secret; the one before signs beside it for `overlap`, the one before that no longer.

    Its `secret` is another one than that given where an earlier request with the same key changed it.

    Raises `webhookNotFound` and `idempotencyConflict`.
    """

    async def make(conn: Connection) -> UUID:
        before = await live(conn, author.workspace_id, endpoint_id)
        after = replace(before, secret=secret, previous_secret=None, previous_until=None, updated_at=author.now)
        if overlap:
            after = replace(after, previous_secret=before.secret, previous_until=author.now + overlap)
        await webhooks.update(conn, after)
        await _tell(conn, "webhook.secret_rotated", after, author)
        return endpoint_id

    return await _once(database, author, make)


async def delete(database: Database, endpoint_id: UUID, author: Author) -> Endpoint:
    """Delete an endpoint: nothing goes there any more, its secrets are forgotten. One that is deleted stays so.

    Raises `webhookNotFound` and `idempotencyConflict`.
    """

    async def make(conn: Connection) -> UUID:
        before = await webhooks.lock(conn, author.workspace_id, endpoint_id)
        if before is None:
            raise not_found(endpoint_id)
        if before.deleted_at is None:
            after = replace(
                before,
                secret="",
                previous_secret=None,
                previous_until=None,
                is_enabled=False,
                disabled_because="asked",
                updated_at=author.now,
                deleted_at=author.now,
            )
            await deliveries.abandon(conn, after, author.now)
            await webhooks.update(conn, after)
            await _tell(conn, "webhook.deleted", after, author)
        return endpoint_id

    return await _once(database, author, make)


async def test(database: Database, endpoint_id: UUID, author: Author, *, at: dt.datetime) -> UUID:
    """Queue a fact of kind `webhook.test` for one endpoint, whatever its kinds; the delivery's id.

    `at` is what time it is for the workspace. Raises `webhookNotFound`, `webhookDisabled`, `idempotencyConflict`.
    """

    async def work(conn: Connection) -> UUID:
        async def make() -> Mapping[str, Any]:
            endpoint = await _enabled(conn, author.workspace_id, endpoint_id)
            data = {"message": "This is a test.", "webhookUuid": str(endpoint.id)}
            fact = Fact(author.workspace_id, author.ids.new(author.now), TEST, at, data)
            return {"deliveryId": str(await webhooks.queue_for(conn, endpoint, fact, author.now))}

        return UUID((await once(conn, author.request, author.now, make))["deliveryId"])

    return await database.run(work)


async def replay(database: Database, delivery_id: UUID, author: Author) -> None:
    """Send a delivery again, delivered or not, with the same `webhook-id`; its schedule begins anew.

    One that waits for its next attempt is tried at once, one that is being sent at this moment is left alone.

    Raises `webhookDeliveryNotFound`, `webhookNotFound`, `webhookDisabled` and `idempotencyConflict`.
    """

    async def work(conn: Connection) -> None:
        async def make() -> Mapping[str, Any]:
            endpoint_id = await deliveries.endpoint_id(conn, author.workspace_id, delivery_id)
            if endpoint_id is None:
                raise delivery_not_found(delivery_id)
            endpoint = await _enabled(conn, author.workspace_id, endpoint_id)
            replayed = await deliveries.replay_one(conn, endpoint, delivery_id, author.now)
            if replayed:
                await _tell(conn, "webhook.replayed", endpoint, author, delivery=str(delivery_id))
            return {"replayed": replayed}

        await once(conn, author.request, author.now, make)

    await database.run(work)


async def replay_since(
    database: Database, endpoint_id: UUID, author: Author, *, since: dt.datetime, dead_only: bool
) -> int:
    """Send again what was queued for an endpoint since then and is dead, or (not `dead_only`) has ended in any way.

    How many there were. Raises `webhookNotFound`, `webhookDisabled` and `idempotencyConflict`.
    """

    async def work(conn: Connection) -> int:
        async def make() -> Mapping[str, Any]:
            endpoint = await _enabled(conn, author.workspace_id, endpoint_id)
            replayed = await deliveries.replay_since(conn, endpoint, since, author.now, dead_only=dead_only)
            await _tell(
                conn, "webhook.replayed", endpoint, author, since=since.isoformat(), dead=dead_only, replayed=replayed
            )
            return {"replayed": replayed}

        return int((await once(conn, author.request, author.now, make))["replayed"])

    return await database.run(work)


async def live(conn: Connection, workspace_id: UUID, endpoint_id: UUID) -> Endpoint:
    """An endpoint that is not deleted, locked. Raises `webhookNotFound`."""
    found = await webhooks.lock(conn, workspace_id, endpoint_id)
    if found is None or found.deleted_at is not None:
        raise not_found(endpoint_id)
    return found


async def _enabled(conn: Connection, workspace_id: UUID, endpoint_id: UUID) -> Endpoint:
    endpoint = await live(conn, workspace_id, endpoint_id)
    if not endpoint.is_enabled:
        raise TallystickError("webhookDisabled", "The endpoint is disabled: enable it first.", uuid=str(endpoint_id))
    return endpoint


def not_found(endpoint_id: UUID) -> TallystickError:
    """There is no such endpoint in the workspace that is asked."""
    return TallystickError("webhookNotFound", "There is no such webhook endpoint.", uuid=str(endpoint_id))


def delivery_not_found(delivery_id: UUID) -> TallystickError:
    """There is no such delivery in the workspace that is asked."""
    return TallystickError("webhookDeliveryNotFound", "There is no such delivery.", uuid=str(delivery_id))


def _check_address(url: str, allowed: Allowed) -> None:
    """What can be told before a name is resolved; whatever a name resolves to is checked at every attempt."""
    parts = check_url(url)
    host = parts.hostname or ""
    address = literal(host)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if address is not None and not allowed.permits(host, port, address):
        raise TallystickError("invalidUrl", f"{host} is no public address.", field="url", host=host)


async def _once(database: Database, author: Author, make: Callable[[Connection], Awaitable[UUID]]) -> Endpoint:
    """Do it, a repeated request only once; the endpoint as it stands then."""

    async def work(conn: Connection) -> Endpoint:
        async def made() -> Mapping[str, Any]:
            return {"webhookId": str(await make(conn))}

        endpoint_id = UUID((await once(conn, author.request, author.now, made))["webhookId"])
        found = await webhooks.lock(conn, author.workspace_id, endpoint_id)
        if found is None:
            raise not_found(endpoint_id)
        return found

    return await database.run(work)


async def _tell(conn: Connection, action: str, endpoint: Endpoint, author: Author, **more: Any) -> None:
    await audit.record(
        conn,
        action,
        workspace_id=author.workspace_id,
        actor=author.actor,
        now=author.now,
        ids=author.ids,
        webhook=str(endpoint.id),
        url=shown_url(endpoint.url),
        enabled=endpoint.is_enabled,
        **more,
    )

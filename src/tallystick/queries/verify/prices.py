"""Price versions, which are appended and never edited: each still has the content that its digest was made of."""

from collections.abc import Callable
from uuid import UUID

from tallystick.domain.differences import Difference, figure
from tallystick.domain.metering.prices import PriceBook, PriceVersion, digest_of
from tallystick.kernel.errors import TallystickError
from tallystick.queries.verify.checking import Checked
from tallystick.store.database import Connection
from tallystick.store.named_sql import load
from tallystick.store.prices import VERSION_FIELDS

SQL = load(__file__)


async def check(conn: Connection, checked: Checked, tell: Callable[[Difference], None]) -> PriceBook:
    """Every version's digest; the book of those that can still be read, as they stand."""
    versions = []
    for row in await (await conn.execute(SQL["price_versions"])).fetchall():
        checked.prices += 1
        content = [row[name] for name in VERSION_FIELDS]
        found = digest_of(*content)
        if found != row["digest"]:
            ids = {"priceVersionUuid": row["id"], "target": row["target"], "validFrom": row["valid_from"]}
            tell(Difference("priceEdited", None, ids, (figure("digest", row["digest"].hex(), found.hex()),)))
        try:
            versions.append(PriceVersion(*content))
        except TallystickError:
            continue
    return PriceBook(versions)


async def workspaces(conn: Connection, workspace_id: UUID | None) -> list[tuple[UUID, int]]:
    """Every workspace, or one if it is there, in the order of their ids; about how many events each has."""
    rows = await (await conn.execute(SQL["workspaces"], {"workspace_id": workspace_id})).fetchall()
    return [(row["id"], row["events"]) for row in rows]

"""The catalog in memory of one process, loaded again when the database says that it changed."""

from tallystick.domain.metering.catalog import Catalog
from tallystick.store import catalog
from tallystick.store.database import Connection


class CatalogCache:
    """Costs one small query per transaction; what it answers is never older than that transaction's own snapshot."""

    def __init__(self) -> None:
        self._catalog: Catalog | None = None

    async def current(self, conn: Connection) -> Catalog:
        """The catalog as this transaction sees it."""
        held = self._catalog
        if held is None or held.version != await catalog.version(conn):
            held = await catalog.load_catalog(conn, held)
            self._catalog = held
        return held

"""A server of its own for tests that need a real one: prints its address, ends on SIGTERM.

Usage: python -m tests.surfaces.live_server DATABASE_URL
"""

import asyncio
import sys

from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces import logs
from tallystick.surfaces.serve import serve


async def ready(runtime: Runtime, address: str) -> None:
    print(address, flush=True)


if __name__ == "__main__":
    settings = Settings(database_url=sys.argv[1], port=0, log_level="error", worker=False, pool_size=4)
    logs.configure(settings)
    asyncio.run(serve(settings, ready))
    print("ended", flush=True)

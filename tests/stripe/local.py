"""localstripe in a process of its own, on a free port of the loopback address; nothing is written to a disk."""

import socket

from aiohttp import web
from localstripe import resources, server


def main() -> None:
    resources.Store.dump_to_disk = lambda _: None
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    web.run_app(server.app, sock=listening, print=None, access_log=None)


if __name__ == "__main__":
    main()

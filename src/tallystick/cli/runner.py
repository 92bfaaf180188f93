"""`tally runner`, and the runner beside `tally serve` and `tally demo`. It asks the server over HTTP either way."""

import contextlib
import dataclasses
import signal
from typing import TYPE_CHECKING

from tallystick.cli.commands import BaseUrl, Token
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from tallystick.runner.service import Options, Runner
    from tallystick.runtime import Runtime
    from tallystick.settings import Settings

runner_app = new_app("Execute workflows apart from the server, in the foreground.")


@runner_app.command("runner")
def runner(token: Token = None, base_url: BaseUrl = None) -> None:
    """Claim runs from a server and execute them until SIGTERM or Ctrl-C.

    An operator's token takes the runs of every workspace, a workspace's token its own. `tally serve` does it itself
    unless it was started with --no-runner.

    \b
    Example:
      tally runner --base-url https://tally.example --token tally_…
    """
    import os

    from tallystick.cli.credentials import find
    from tallystick.cli.server import configured, run

    found = find(token, base_url, os.environ, as_operator=True)
    run(_until_told(options(configured(), found.base_url, found.token)))


def options(settings: "Settings", base_url: str, token: str) -> "Options":
    """What the settings say about a runner. Raises `invalidSetting`."""
    import os
    import socket

    from tallystick.kernel.addresses import Allowed
    from tallystick.kernel.credits import parse_credits
    from tallystick.runner.nodes import Limits
    from tallystick.runner.service import Options

    limits = Limits(
        hold_credits=parse_credits(settings.runner_hold_credits),
        seconds=settings.runner_call_seconds,
        model_base_url=settings.model_base_url,
        model_api_key=settings.model_api_key,
        allowed=Allowed.listed(settings.runner_allowed_hosts),
    )
    return Options(
        base_url=base_url,
        token=token,
        limits=limits,
        name=f"{socket.gethostname()}:{os.getpid()}",
        concurrency=settings.runner_concurrency,
        poll_seconds=settings.runner_poll_milliseconds / 1000,
        lease_seconds=settings.runner_lease_seconds,
        hold_wait_seconds=min(20, settings.hold_wait_seconds_max),
    )


async def _until_told(chosen: "Options") -> None:
    import asyncio

    from tallystick.runner.service import opened

    async with opened(chosen) as made:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, made.stop)
        await made.serve()


class Beside:
    """A runner in the server's own process, where `TALLY_RUNNER` wants one, for as long as it serves."""

    def __init__(self, settings: "Settings", *, is_demo: bool = False) -> None:
        self._settings = settings
        self._is_demo = is_demo
        self._runner: Runner | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, runtime: "Runtime", address: str) -> None:
        """Begin. Its token lives in this process alone."""
        if not self._settings.runner:
            return
        import asyncio

        from tallystick.domain.identity.rights import PERMISSIONS, Principal
        from tallystick.domain.identity.tokens import token_text

        token = token_text(runtime.ids.secret())
        principal = Principal(
            kind="operator",
            token_id=runtime.ids.new(runtime.clock.now()),
            token_name="runner",  # noqa: S106 - its name, not the token
            person_id=None,
            workspace_id=None,
            role=None,
            permissions=PERMISSIONS,
        )
        runtime.authenticator.admit(token, principal)
        self._task = asyncio.create_task(self._serve(address, token), name="runner")

    async def end(self) -> None:
        """Let go of what it has, while the server still answers."""
        if self._runner is not None:
            self._runner.stop()
        if self._task is not None:
            import asyncio

            await asyncio.wait([self._task])

    @contextlib.asynccontextmanager
    async def _modelled(self) -> "AsyncIterator[Settings]":
        """The settings; those of a demo that has no language model get one that needs no key and no network."""
        if not self._is_demo or self._settings.model_base_url is not None:
            yield self._settings
            return
        from tallystick.demo.language_model import listening

        async with listening() as url:
            yield dataclasses.replace(self._settings, model_base_url=url)

    async def _serve(self, address: str, token: str) -> None:
        import structlog

        from tallystick.runner.service import opened

        try:
            async with self._modelled() as settings, opened(options(settings, address, token)) as self._runner:
                await self._runner.serve()
        except Exception:  # noqa: BLE001 - the server goes on without it, the log has it in full
            structlog.get_logger("tallystick.runner").exception("runner ended")

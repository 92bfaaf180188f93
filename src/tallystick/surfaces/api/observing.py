"""Around every request: an id, security headers, one line of log without secrets, and the counts of `/metrics`."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from tallystick.runtime import Runtime
from tallystick.surfaces.api import parsing

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
"""An ASGI application; its scope is such a mapping, too."""

_LOG = structlog.get_logger("tallystick.access")

_PROBES: Final = frozenset({"claim_runs", "get_health", "get_readiness", "get_server_metrics"})
"""Asked every few seconds by machines: a line for each that is well would bury the others."""
_KEY: Final = "tallystick.trace"

SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Sent with every answer that does not set them itself: answers hold a customer's figures, and are never pages."""

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(slots=True)
class Trace:
    """What is known of one request, filled in on its way."""

    request_id: str
    operation: str = "none"
    actor: str | None = None
    code: str | None = None
    status: int = 500


@dataclass(slots=True)
class Meters:
    """Counts since the process began, as `/metrics` shows them. Route names only: no workspace, no token."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    buckets: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    in_flight: int = 0

    def count(self, trace: Trace, seconds: float) -> None:
        self.requests[trace.operation, trace.status] += 1
        self.seconds[trace.operation] = self.seconds.get(trace.operation, 0.0) + seconds
        for bound in _BUCKETS:
            if seconds <= bound:
                self.buckets[trace.operation, str(bound)] += 1
        self.buckets[trace.operation, "+Inf"] += 1

    def render(self, gauges: Mapping[str, int]) -> str:
        """The Prometheus text format, version 0.0.4."""
        lines = ["# TYPE tally_requests_total counter"]
        lines += [
            f'tally_requests_total{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self.requests.items())
        ]
        lines.append("# TYPE tally_request_seconds histogram")
        for route in sorted(self.seconds):
            for bound in (*map(str, _BUCKETS), "+Inf"):
                count = self.buckets[route, bound]
                lines.append(f'tally_request_seconds_bucket{{route="{route}",le="{bound}"}} {count}')
            lines.append(f'tally_request_seconds_sum{{route="{route}"}} {self.seconds[route]:.6f}')
            lines.append(f'tally_request_seconds_count{{route="{route}"}} {self.buckets[route, "+Inf"]}')
        for name, value in {"requests_in_flight": self.in_flight, **gauges}.items():
            lines += [f"# TYPE tally_{name} gauge", f"tally_{name} {value}"]
        return "\n".join(lines) + "\n"


def render_gauges(gauges: Mapping[str, Sequence[tuple[str, str, int]]]) -> str:
    """Gauges with one label each, as `(label, its value, figure)`, in the same format."""
    lines: list[str] = []
    for name, samples in gauges.items():
        lines.append(f"# TYPE tally_{name} gauge")
        lines += [f'tally_{name}{{{label}="{value}"}} {figure}' for label, value, figure in samples]
    return "".join(f"{line}\n" for line in lines)


def trace_of(scope: Any) -> Trace:
    """The trace of a request; a nameless one where nothing observes, so that handlers need not care."""
    trace: Trace = scope.setdefault(_KEY, Trace("none"))
    return trace


def observe(app: App, runtime: Runtime, meters: Meters) -> App:
    """`app` with an id, headers, a log line and a count for each request."""

    async def observed(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        trace = Trace(str(runtime.ids.new(runtime.clock.now())))
        scope[_KEY] = trace
        parsing.keep_encoded_slashes(scope)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                extra = [pair for pair in SECURITY_HEADERS if pair[0] not in present]
                message["headers"] = [*message["headers"], *extra, (b"x-request-id", trace.request_id.encode())]
            await send(message)

        started = time.perf_counter()
        meters.in_flight += 1
        try:
            await app(scope, receive, send_on)
        finally:
            meters.in_flight -= 1
            seconds = time.perf_counter() - started
            meters.count(trace, seconds)
            tell = _LOG.debug if trace.operation in _PROBES and trace.status < 400 else _LOG.info
            tell(
                "request",
                request_id=trace.request_id,
                method=scope["method"],
                route=trace.operation,
                status=trace.status,
                code=trace.code,
                actor=trace.actor,
                milliseconds=round(seconds * 1000, 1),
            )

    return observed

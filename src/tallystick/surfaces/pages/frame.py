"""The frame of every page: templates that escape everything, headers that let a page load nothing but our own CSS."""

import datetime as dt
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from tallystick.domain.telling import figures
from tallystick.kernel.errors import TallystickError
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import ANYONE
from tallystick.surfaces.api.observing import trace_of
from tallystick.surfaces.api.problems import status_of

ROUTES = Routes("Pages")

HTML: Final = "text/html"
STYLE_PATH: Final = "/pages/pages.css"
FORM: Final = "application/x-www-form-urlencoded"

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "X-Robots-Tag": "noindex, nofollow",
    }
)


def page(template: str, *, status: int = 200, **values: Any) -> Reply:
    """A page of `templates/`; `values` are escaped as they are shown."""
    text = _environment().get_template(template).render(style=STYLE_PATH, **values)
    return Reply(text.encode(), status=status, headers=HEADERS, media_type=HTML)


def problem(call: Call, error: TallystickError) -> Reply:
    """What went wrong, as a page that says what to do next."""
    trace_of(call.request.scope).code = error.code
    seller = call.runtime.billing.seller.name
    return page("problem.html", status=status_of(error.code), seller=seller, error=error)


def see(path: str) -> Reply:
    """Go on at `path`: after a form was sent, so that loading the page again does not send it twice."""
    return Reply(b"", status=303, headers={**HEADERS, "Location": path}, media_type=HTML)


@ROUTES.get(STYLE_PATH, ANYONE, produces="text/css", answers={200: str})
async def get_page_style(call: Call) -> Reply:
    """The style of our own pages, light and dark."""
    return Reply(_style(), media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


def day(at: dt.datetime | dt.date | None, zone: str = "UTC") -> str:
    """A day as `14 Mar 2026`; an instant by its zone."""
    if at is None:
        return ""
    if not isinstance(at, dt.datetime):
        at, zone = dt.datetime(at.year, at.month, at.day, tzinfo=dt.UTC), "UTC"
    return figures.moment(at, zone).partition(",")[0]


@cache
def _style() -> bytes:
    return (files(__package__) / "templates" / "pages.css").read_bytes()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tallystick.surfaces.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["day"] = day
    environment.filters["moment"] = figures.moment
    environment.filters["money"] = lambda pair: figures.money(*pair)
    return environment

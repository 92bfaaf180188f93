"""Letters as HTML and as plain text, both from the same words, by the templates in this folder."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from tallystick.domain.telling.letters import Letter, Tone

_WIDTH: Final = 72

_COLOURS: Final[Mapping[Tone, tuple[str, str, str]]] = MappingProxyType(
    {
        "good": ("#13693A", "#E3F4EA", "good"),
        "note": ("#1F4FC4", "#E8EEFC", "note"),
        "warning": ("#8A5300", "#FCF0DA", "warn"),
        "alarm": ("#8C1D18", "#F8D9D6", "alarm"),
    }
)
"""Of a tone in light: its colour, a soft one behind it, and the class that dark mode goes by."""


def render_html(letter: Letter, *, sender: str) -> str:
    """The mail's HTML part: complete by itself, nothing in it is fetched. Everything in the letter is escaped."""
    colour, soft, tone = _COLOURS[letter.tone]
    return _template("letter.html").render(letter=letter, sender=sender, colour=colour, soft=soft, tone=tone)


def render_plain(letter: Letter, *, sender: str) -> str:
    """The same as plain text in lines of at most 72 characters, longer ones where an address must not be cut."""
    return _template("letter.txt").render(letter=letter, sender=sender)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("tallystick.gateways", "letters"),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["lines"] = _lines
    return environment.get_template(name)


def _lines(text: str, first: str = "", following: str = "") -> str:
    """`text` wrapped between words, its first line begun with `first`, the others with `following`."""
    lines: list[str] = []
    line = first
    is_empty = True
    for word in text.split():
        if not is_empty and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line, is_empty = following, True
        line += word if is_empty else f" {word}"
        is_empty = False
    return "\n".join([*lines, line])

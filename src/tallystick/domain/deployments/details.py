"""What only one kind of deployment has: a script's language and replicas, a model's type, where it answers.

Scripts have 1 to 10 replicas, run for 30 to 600 seconds at most, and are given another replica when on average so much
of their hardware is used; the platform scales them, and reports how many there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from tallystick.domain.texts import LONGEST_NAME, check_text
from tallystick.kernel.errors import TallystickError

MOST_REPLICAS: Final[Mapping[str, int]] = MappingProxyType({"script": 10, "guardrail": 100, "model": 100, "tool": 1})
LANGUAGES: Final[Mapping[str, str]] = MappingProxyType({"JavaScript": "20.19.0", "Python": "3.10.15"})
"""Languages of scripts and the version of each that is meant where none is named; any other text is taken too."""

MODEL_TYPES: Final = ("base", "fineTuned")
UTILIZATION: Final = 75
LONGEST_URL: Final = 2_000
LONGEST_ACCESS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Details:
    """As asked; None is what was left out. `utilization` is in percent, `timeout_seconds` of one execution."""

    language: str | None = None
    language_version: str | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    utilization: int | None = None
    timeout_seconds: int | None = None
    type: str | None = None


_NAMES: Final[Mapping[str, str]] = {
    item.name: "".join(part.capitalize() if place else part for place, part in enumerate(item.name.split("_")))
    for item in fields(Details)
}
_OF_SCRIPTS: Final = frozenset(_NAMES) - {"type"}


def read_details(kind: str, asked: Details) -> dict[str, Any]:
    """The details of a new deployment as they are kept, by their names on the wire.

    Raises `invalidDeployment`, naming the field, and `invalidText`.
    """
    given = {name: value for name in _NAMES if (value := getattr(asked, name)) is not None}
    allowed = {"script": _OF_SCRIPTS, "model": {"type"}}.get(kind, frozenset())
    for name in given:
        if name not in allowed:
            raise invalid(_NAMES[name], f"is nothing that a {kind} has")
    if kind == "script":
        given = _of_script(given)
    elif kind == "model" and given.setdefault("type", "base") not in MODEL_TYPES:
        raise invalid("type", f"must be one of {', '.join(MODEL_TYPES)}")
    return {_NAMES[name]: value for name, value in given.items()}


def check_replicas(kind: str, replicas: int, details: Mapping[str, Any]) -> int:
    """`replicas` itself. Raises `invalidDeployment` unless this kind may have so many, and the details allow it."""
    most = MOST_REPLICAS[kind]
    low, high = details.get("minReplicas", 1), details.get("maxReplicas", most)
    if not max(low, 1) <= replicas <= min(high, most):
        raise invalid("replicas", f"must be {max(low, 1)} to {min(high, most)}")
    return replicas


def read_access(endpoint: str | None, access: str | None) -> dict[str, str]:
    """Where what was deployed answers, and how to get in, as kept. Raises `invalidDeployment` and `invalidText`.

    Both are shown to people and mailed to admins, so neither may hold a secret.
    """
    found: dict[str, str] = {}
    if endpoint is not None:
        check_text(endpoint, field="endpoint", longest=LONGEST_URL)
        try:
            parts = urlsplit(endpoint)
            has_host = bool(parts.hostname) and parts.scheme in ("http", "https")
        except ValueError:
            has_host = False
        if not has_host or any(character.isspace() for character in endpoint):
            raise invalid("endpoint", "must be an http or https address")
        if parts.username is not None or parts.password is not None:
            raise invalid("endpoint", "must not hold a user name or password")
        found["endpoint"] = endpoint
    if access is not None:
        found["access"] = check_text(access, field="access", longest=LONGEST_ACCESS)
    return found


def invalid(field: str, what: str) -> TallystickError:
    return TallystickError("invalidDeployment", f"{field} {what}.", field=field)


def _of_script(given: dict[str, Any]) -> dict[str, Any]:
    language = check_text(given.get("language", "Python"), field="language")
    version = given.get("language_version", LANGUAGES.get(language, ""))
    check_text(version, field="languageVersion", longest=LONGEST_NAME, may_be_empty=language not in LANGUAGES)
    most = MOST_REPLICAS["script"]
    low, high = given.get("min_replicas", 1), given.get("max_replicas", most)
    if not 1 <= low <= high <= most:
        raise invalid("minReplicas", f"and maxReplicas must be 1 to {most}, the first not the larger")
    utilization = given.get("utilization", UTILIZATION)
    if not 1 <= utilization <= 100:
        raise invalid("utilization", "must be 1 to 100 percent")
    timeout = given.get("timeout_seconds")
    if timeout is not None and not 30 <= timeout <= 600:
        raise invalid("timeoutSeconds", "must be 30 to 600")
    found = {"language": language, "language_version": version, "min_replicas": low, "max_replicas": high}
    if low < high:
        found["utilization"] = utilization  # nothing to scale by where there is nothing to scale
    return found | ({"timeout_seconds": timeout} if timeout is not None else {})

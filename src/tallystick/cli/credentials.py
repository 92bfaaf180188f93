"""Whose token and which server: options, then `TALLY_TOKEN` and `TALLY_BASE_URL`, the login, the demo of `TALLY_HOME`.

Token and address are each taken from the first place that has one.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tallystick.kernel.errors import TallystickError

DEFAULT_BASE_URL: Final = "http://127.0.0.1:8787"


@dataclass(frozen=True, slots=True)
class Credentials:
    base_url: str
    token: str


def find(token: str | None, base_url: str | None, environ: Mapping[str, str], *, as_operator: bool) -> Credentials:
    """The credentials of this call. Raises `notLoggedIn` when no token is anywhere."""
    places = _places(token, base_url, environ, "operatorToken" if as_operator else "adminToken")
    found_token = found_url = None
    for place_token, place_url in places:
        found_token = found_token or place_token
        found_url = found_url or place_url
        if found_token and found_url:
            break
    if not found_token:
        raise TallystickError(
            "notLoggedIn", "There is no token: use --token, set TALLY_TOKEN, or run `tally login --token …` once."
        )
    return Credentials((found_url or DEFAULT_BASE_URL).rstrip("/"), found_token)


def find_base_url(base_url: str | None, environ: Mapping[str, str]) -> str:
    """The address alone, for a login that brings its own token."""
    for _, url in _places(None, base_url, environ, "adminToken"):
        if url:
            return url.rstrip("/")
    return DEFAULT_BASE_URL


def _places(
    token: str | None, base_url: str | None, environ: Mapping[str, str], demo_token: str
) -> Iterator[tuple[str | None, str | None]]:
    yield token, base_url
    yield environ.get("TALLY_TOKEN"), environ.get("TALLY_BASE_URL")
    login = _read(login_file())
    yield login.get("token"), login.get("baseUrl")
    demo = _read(home(environ) / "demo.json")
    yield demo.get(demo_token), demo.get("baseUrl")


def login_file() -> Path:
    """Where `tally login` keeps a token: a file of the user's alone, in the user's configuration folder."""
    import platformdirs

    return Path(platformdirs.user_config_dir("tallystick", appauthor=False)) / "login.json"


def home(environ: Mapping[str, str]) -> Path:
    """`TALLY_HOME`, or the user's data folder."""
    given = environ.get("TALLY_HOME")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("tallystick", appauthor=False))


def save(credentials: Credentials) -> Path:
    """Keep a login: the file for its owner's eyes from its first byte on, replaced whole or not at all."""
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(OSError):
        path.parent.chmod(0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    content = json.dumps({"baseUrl": credentials.base_url, "token": credentials.token}, indent=2) + "\n"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    draft.replace(path)
    return path


def forget() -> bool:
    """Remove the login; whether there was one."""
    path = login_file()
    was_there = path.exists()
    path.unlink(missing_ok=True)
    return was_there


def _read(path: Path) -> dict[str, Any]:
    """The object in a file; one that is not there, not ours to read, or damaged counts as absent."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)} if isinstance(content, dict) else {}

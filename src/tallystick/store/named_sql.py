"""Named queries: every `.sql` file beside a module holds blocks that begin with a line `-- name: the_name`."""

import re
from pathlib import Path

_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


def load(module_file: str) -> dict[str, str]:
    """The queries of the `.sql` file beside `module_file`, by name, without their comments.

    Raises ValueError when the file holds no query or two with one name.
    """
    return parse(Path(module_file).with_suffix(".sql").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, str]:
    """Split the text of a `.sql` file into its named queries."""
    headers = list(_HEADER.finditer(text))
    if not headers:
        raise ValueError("no '-- name: …' line found")
    queries: dict[str, str] = {}
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        body = text[header.end() : following.start() if following else len(text)]
        name = header["name"]
        if name in queries:
            raise ValueError(f"two queries are named {name}")
        queries[name] = _COMMENT.sub("", body).strip().rstrip(";")
    return queries

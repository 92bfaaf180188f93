"""Rows of a file, one at a time: CSV, NDJSON or a JSON array, plain or gzip; told apart by content, never by name.

Memory stays the same however long the file is. Numbers keep every digit.
"""

import contextlib
import csv
import gzip
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from tallystick.kernel.errors import TallystickError

FORMATS: Final = ("csv", "ndjson", "json")

_GZIP_MAGIC: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20
_LONGEST_ROW: Final = 16 << 20
_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Row:
    """`number` counts from 1 over all rows, the header not included; `problem` says why one can't be read."""

    number: int
    values: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was looked at. `digest` is the SHA-256 of its content, unpacked, so that packing changes no id."""

    path: Path
    digest: str
    format: str
    delimiter: str
    is_gzip: bool
    size: int

    def rows(self, on_progress: Callable[[int], object] | None = None) -> Iterator[Row]:
        """Every row. `on_progress` is told how many bytes of the file have been read. Raises `unreadableFile`."""
        with self.path.open("rb") as file:
            stream = _unpacked(file) if self.is_gzip else file
            try:
                for row in self._read(stream):
                    yield row
                    if on_progress is not None and row.number % 512 == 0:
                        on_progress(file.tell())
            except (EOFError, gzip.BadGzipFile, OSError) as error:
                raise _unreadable(self.path, f"is damaged: {error}") from error
            if on_progress is not None:
                on_progress(self.size)

    def _read(self, stream: IO[bytes]) -> Iterator[Row]:
        if self.format == "csv":
            return _csv_rows(stream, self.delimiter, self.path)
        return _ndjson_rows(stream) if self.format == "ndjson" else _json_rows(stream, self.path)


def look_at(path: Path, format_: str | None = None, delimiter: str | None = None) -> Source:
    """Read the file once for its digest and format. Raises `unreadableFile`, and what opening a file raises."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        stream = _unpacked(file) if is_gzip else file
        digest = hashlib.sha256()
        head = b""
        try:
            while chunk := stream.read(_CHUNK):
                head = head or chunk
                digest.update(chunk)
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            raise _unreadable(path, f"is damaged: {error}") from error
    found = format_ or _format_of(head)
    return Source(
        path=path,
        digest=digest.hexdigest(),
        format=found,
        delimiter=delimiter or (_delimiter_of(head) if found == "csv" else ""),
        is_gzip=is_gzip,
        size=path.stat().st_size,
    )


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], gzip.GzipFile(fileobj=file))


def _format_of(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"[": "json", b"{": "ndjson"}.get(start, "csv")


def _delimiter_of(head: bytes) -> str:
    header = head.partition(b"\n")[0].decode("utf-8", errors="replace")
    return max(_DELIMITERS, key=header.count)


def _csv_rows(stream: IO[bytes], delimiter: str, path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_ROW)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    number = 0
    try:
        header = next(reader, None)
        if header is None:
            return
        names = [name.strip() for name in header]
        if len(set(names)) < len(names):
            raise _unreadable(path, "names a column twice in its first line")
        for cells in reader:
            if not cells:
                continue  # an empty line, most often the last one
            number += 1
            if len(cells) != len(names):
                yield Row(number, {}, f"has {len(cells)} fields where the header has {len(names)}")
            else:
                yield Row(number, dict(zip(names, cells, strict=True)))
    except (csv.Error, UnicodeDecodeError) as error:
        # Where a quote is left open or the encoding is another, nothing behind it can be trusted.
        raise _unreadable(path, f"can't be read as CSV in UTF-8 after row {number}: {error}") from error
    finally:
        with contextlib.suppress(ValueError):
            text.detach()  # whoever opened the file closes it


def _ndjson_rows(stream: IO[bytes]) -> Iterator[Row]:
    lines = io.BufferedReader(cast(Any, stream)) if not isinstance(stream, io.BufferedIOBase) else stream
    number = 0
    for line in iter(lambda: lines.readline(_LONGEST_ROW), b""):
        content = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if content.strip():
            number += 1
            yield _object(number, content)


def _json_rows(stream: IO[bytes], path: Path) -> Iterator[Row]:
    for number, element in enumerate(_elements(stream, path), start=1):
        yield _object(number, element)


_decoder: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def _object(number: int, content: bytes) -> Row:
    try:
        return Row(number, _decoder.decode(content))
    except msgspec.ValidationError:
        return Row(number, {}, "is not a JSON object")
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        return Row(number, {}, f"is not JSON: {str(error)[:100]}")


_MARKS: Final = re.compile(rb'["\\\[\]{},]')


class _Scanner:
    """Finds where the elements of one JSON array end, without decoding them."""

    def __init__(self) -> None:
        self.depth = 0
        self.in_text = False
        self.escaped_at = -1
        self.is_over = False

    def cuts(self, data: bytes, start: int) -> Iterator[int]:
        """Positions of the commas between elements, and of the closing bracket, from `start` on."""
        for found in _MARKS.finditer(data, start):
            at, mark = found.start(), found.group()
            if self.in_text:
                if at == self.escaped_at:
                    continue
                if mark == b"\\":
                    self.escaped_at = at + 1
                elif mark == b'"':
                    self.in_text = False
            elif mark == b'"':
                self.in_text = True
            elif mark in b"[{":
                self.depth += 1
            elif mark in b"]}":
                self.depth -= 1
                if self.depth == 0:
                    self.is_over = True
                    yield at
                    return
            elif mark == b"," and self.depth == 1:
                yield at


def _elements(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    scanner = _Scanner()
    pending = b""
    scanned = 0
    opened = False
    while chunk := stream.read(_CHUNK):
        pending += chunk
        if not opened:
            pending = pending.removeprefix(b"\xef\xbb\xbf").lstrip()
            if not pending:
                continue
            if not pending.startswith(b"["):
                raise _unreadable(path, "is not a JSON array")
            pending, opened, scanner.depth = pending[1:], True, 1
        begin = 0
        for cut in scanner.cuts(pending, scanned):
            element = pending[begin:cut].strip()
            if element or not scanner.is_over:
                yield element
            begin = cut + 1
        if scanner.is_over:
            if pending[begin:].strip() or stream.read(_CHUNK).strip():
                raise _unreadable(path, "goes on after its JSON array")
            return
        pending = pending[begin:]
        scanned = len(pending)
        scanner.escaped_at -= begin
        if scanned > _LONGEST_ROW:
            raise _unreadable(path, f"has an element of more than {_LONGEST_ROW} bytes")
    if opened or not pending:
        raise _unreadable(path, "ends in the middle of its JSON array")


def _unreadable(path: Path, what: str) -> TallystickError:
    return TallystickError("unreadableFile", f"{path.name} {what}.", path=str(path))

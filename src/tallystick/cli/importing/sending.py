"""Rows become events, events become requests, answers become one account of what happened to every row."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

import msgspec

from tallystick.cli.importing.mapping import FieldMapping, RowError
from tallystick.cli.importing.rows import Row, Source
from tallystick.client.delivery import Outcome
from tallystick.client.errors import EventProblem
from tallystick.client.events import COUNTERS, EncodedEvent
from tallystick.wire.amounts import Credits, encode

SHOWN_REJECTS: Final = 10
_BATCH_BYTES: Final = 900_000

Send = Callable[[list[EncodedEvent]], Outcome]


@dataclass(slots=True)
class Account:
    """What became of the rows. `tokens` are those of the events that the server holds; `charged` in nano-credits."""

    rows: int = 0
    skipped: int = 0
    valid: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    charged: int = 0
    tokens: Counter[str] = field(default_factory=Counter)

    def on_trial(self) -> dict[str, Any]:
        """What a dry run tells."""
        counts = {"rows": self.rows, "skipped": self.skipped, "valid": self.valid, "rejected": self.rejected}
        return {**counts, "tokens": dict(sorted(self.tokens.items()))}

    def on_the_wire(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "skipped": self.skipped,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "rejected": self.rejected,
            "chargedCredits": Credits(self.charged),
            "tokens": dict(sorted(self.tokens.items())),
        }


class Stopped(Exception):  # noqa: N818 - the import ends early, with an account of what was done
    """The server took nothing of a request, and would take nothing of the next one either."""

    def __init__(self, problem: EventProblem) -> None:
        super().__init__(problem.message)
        self.reason = problem.reason
        self.message = problem.message


@dataclass(slots=True)
class Rejects:
    """Rows that became no charge: the first ones for people, all of them as NDJSON for whoever repairs the file."""

    file: IO[bytes] | None = None
    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, number: int, reason: str, message: str, content: Mapping[str, Any]) -> None:
        self.count += 1
        if len(self.first) < SHOWN_REJECTS:
            self.first.append(f"row {number}: {reason}{f': {message}' if message else ''}")
        if self.file is not None:
            line = encode({"row": number, "reason": reason, "message": message, **content})
            self.file.write(line + b"\n")


@dataclass(frozen=True, slots=True)
class _Item:
    row: int
    event: EncodedEvent
    counted: tuple[tuple[str, int], ...]


def send_all(
    source: Source,
    mapping: FieldMapping,
    send: Send,
    rejects: Rejects,
    account: Account,
    batch_events: int,
    on_progress: Callable[[int], object] | None = None,
) -> None:
    """Send every row that the mapping wants, and keep `account` up to date. Raises `Stopped`, and `unreadableFile`."""
    for batch in _batches(_items(source.rows(on_progress), mapping, source, rejects, account), batch_events):
        outcome = send([item.event for item in batch])
        account.accepted += outcome.accepted
        account.duplicates += outcome.duplicates
        account.charged += outcome.charged
        refused = set()
        for problem in outcome.problems:
            if problem.kind == "unsent":
                raise Stopped(problem)
            refused.add(problem.index)
            item = batch[problem.index]
            if problem.kind == "conflict":
                account.conflicts += 1
            else:
                account.rejected += 1
            content = {"id": problem.id, "event": msgspec.Raw(problem.body)}
            rejects.add(item.row, problem.reason, problem.message, content)
        for at, item in enumerate(batch):
            if at not in refused:
                for name, count in item.counted:
                    account.tokens[name] += count


def check_all(
    source: Source,
    mapping: FieldMapping,
    rejects: Rejects,
    account: Account,
    on_progress: Callable[[int], object] | None = None,
) -> list[msgspec.Raw]:
    """Send nothing: count what would be sent, and give the first three events."""
    first: list[msgspec.Raw] = []
    for item in _items(source.rows(on_progress), mapping, source, rejects, account):
        account.valid += 1
        for name, count in item.counted:
            account.tokens[name] += count
        if len(first) < 3:
            first.append(msgspec.Raw(item.event.body))
    return first


def _items(
    rows: Iterable[Row], mapping: FieldMapping, source: Source, rejects: Rejects, account: Account
) -> Iterator[_Item]:
    for row in rows:
        account.rows += 1
        if not row.problem and not mapping.wants(row):
            account.skipped += 1
            continue
        try:
            yield _item(row, mapping, source)
        except RowError as error:
            account.rejected += 1
            rejects.add(row.number, error.reason, str(error), {"values": _printable(row.values)})


def _item(row: Row, mapping: FieldMapping, source: Source) -> _Item:
    event = mapping.event(row, source)
    counted = tuple((name, value) for name, value in event["data"].items() if name in COUNTERS and type(value) is int)
    try:
        return _Item(row.number, EncodedEvent(event["id"], msgspec.json.encode(event)), counted)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise RowError("invalidText", f"The row can't be written as JSON: {error}.") from None


def _printable(values: Mapping[str, Any]) -> Any:
    try:
        return msgspec.Raw(msgspec.json.encode(values))
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        return ascii(values)[:1000]


def _batches(items: Iterator[_Item], most: int) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    size = 0
    for item in items:
        if batch and (len(batch) >= most or size + len(item.event.body) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.event.body)
    if batch:
        yield batch

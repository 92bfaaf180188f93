"""Usage events as they travel: the CloudEvents envelope, and what the server answers."""

import datetime as dt

import msgspec

from tallystick.wire.amounts import Credits


class CloudEvent(msgspec.Struct, kw_only=True, gc=False):
    """The envelope, CloudEvents 1.0 in structured mode; extension attributes are accepted and ignored."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: dt.datetime | None = None
    # Made, not shared: a JSON schema cannot show raw bytes as a default.
    data: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    data_base64: str | None = None


class Refusal(msgspec.Struct, rename="camel", kw_only=True):
    """One event that was not accepted: its place in the request, its id, a code and a sentence."""

    index: int
    id: str | None
    reason: str
    message: str = ""


class Retry(msgspec.Struct, rename="camel", kw_only=True):
    """One event that could not be committed now; sending the whole request again is safe."""

    index: int
    id: str


class IngestAnswer(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=False):
    """What became of a request's events. `charged_credits` is the net charge of the accepted ones."""

    accepted: int
    duplicates: int
    conflicts: list[Refusal]
    rejected: list[Refusal]
    charged_credits: Credits
    retry: list[Retry] | msgspec.UnsetType = msgspec.UNSET


class ImportOptions(msgspec.Struct, rename="camel", kw_only=True):
    """How an import is booked: with `debit` also the usage of before the workspace's birth is paid from its balance."""

    debit: bool = False

"""Documents of invoices and links to them, on the wire."""

import datetime as dt

from tallystick.wire.identity import Wire


class DocumentQuery(Wire):
    """`locale` such as `de` or `pt-BR` stands over the account's."""

    locale: str | None = None


class DocumentLink(Wire):
    """`url` opens the PDF without a token until `expiresAt`, for everybody who has it."""

    url: str
    expires_at: dt.datetime


class DocumentLinkAnswer(Wire):
    link: DocumentLink

"""Files of banks, read: CAMT.053 (ISO 20022) and CSV. What they hold becomes lines; nothing is believed beyond that."""

from typing import Final

from tallystick.domain.billing.statements import Columns, Statement
from tallystick.gateways.statements.camt053 import read_camt053
from tallystick.gateways.statements.csv_lines import read_csv

XML: Final = ("application/xml", "text/xml")
CSV: Final = "text/csv"


def read_statement(content: bytes, media_type: str, columns: Columns) -> Statement:
    """A statement of either kind; `columns` are for CSV alone. Raises `invalidStatement`."""
    is_csv = media_type == CSV or (media_type not in XML and not content.lstrip().startswith(b"<"))
    return read_csv(content, columns) if is_csv else read_camt053(content)


__all__ = ["CSV", "XML", "read_camt053", "read_csv", "read_statement"]

"""Files of banks, read: CAMT.053 (ISO 20022) and CSV. What they hold becomes lines; nothing is believed beyond that."""

from tallystick.gateways.statements.camt053 import read_camt053
from tallystick.gateways.statements.csv_lines import Columns, read_csv

__all__ = ["Columns", "read_camt053", "read_csv"]

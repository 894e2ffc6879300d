"""One self-contained HTML page from what the verbs wrote; nothing in it needs a network."""

from vidboot.report.model import (
    Headline,
    LagCurve,
    LedgerRow,
    Measured,
    Metric,
    Refused,
    Report,
    Samples,
    SigmaLoss,
)
from vidboot.report.page import write_report

__all__ = [
    "Headline",
    "LagCurve",
    "LedgerRow",
    "Measured",
    "Metric",
    "Refused",
    "Report",
    "Samples",
    "SigmaLoss",
    "write_report",
]

"""What is wrong with the data, before anything is learnt from it.

`overview` counts and describes. Everything that deserves a word is a `Finding`: one file for each
kind, from arrays of the rows (`scan`) and what whoever composes the rooms predicted for them.
"""

from feilun.data.audit.finding import CODES, Draft, Finding, Instance, ShownRow
from feilun.data.audit.overview import Audit, LabelRow, audit, audit_source

__all__ = [
    "CODES",
    "Audit",
    "Draft",
    "Finding",
    "Instance",
    "LabelRow",
    "ShownRow",
    "audit",
    "audit_source",
]

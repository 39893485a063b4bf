"""What the store gives back of the ledger: frozen rows of calls, of money and of feedback.

Every time is UTC with its zone. Money is an integer of micro-units of the currency (1 USD =
1,000,000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from feilun.errors import FeilunError
from feilun.money import Tariff
from feilun.types import Item, Output

__all__ = [
    "AnnotatorStatistics",
    "Asked",
    "CallOutcome",
    "CheckResult",
    "Event",
    "EventKind",
    "Feedback",
    "FeedbackSource",
    "Idempotent",
    "Invoice",
    "LabelledPrediction",
    "LedgerCall",
    "Prediction",
    "Rated",
    "Remark",
    "Reviewed",
    "UsageRow",
]

Json = Mapping[str, Any]

EventKind = Literal["charge", "hold", "settle", "release", "credit", "topup"]
FeedbackSource = Literal["customer", "reviewer", "operator"]
Asked = Literal["audit", "review"]
"""Why a person was asked: the answer was drawn at random, or it was worth a look."""


@dataclass(frozen=True, slots=True)
class Rated:
    """`units` of one call on one line of a customer's prices. The ledger knows how far the month
    has come on `line` and sets the call's amount by `tariff` from there, in the same commit."""

    line: str
    units: int
    tariff: Tariff


@dataclass(frozen=True, slots=True)
class Idempotent:
    """The answer that a retry with the same ``Idempotency-Key`` gets. `fingerprint` is the sha256
    of the request; `body` the answer as it was sent."""

    customer: str
    key: str
    fingerprint: str
    call_id: str
    body: bytes
    expires: datetime


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a customer owes for one month in one currency, as it was closed; never changed.

    `number` counts up within the month, without gaps. `total` is what is to be paid, in
    micro-units, rounded to the currency's decimals. `document` is the whole invoice (see
    `feilun.billing.invoices`), `digest` its sha256.
    """

    number: str
    customer: str
    month: str
    currency: str
    total: int
    document: Json
    digest: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the ledger, never changed; a correction is a new event.

    (`call_id`, `seq`) is unique: writing a call twice fails. `units` counts what was used
    (``calls``, ``inputs``, ``tokens``, ``pixels``, ``tokens_out``, ``audio_ms``, and whatever a
    task adds). `amount` is what the customer owes, in micro-units of `currency`, negative for a
    ``credit``; of a ``topup`` it is what was paid beforehand, and nothing is owed. Where there are
    `rates` the ledger sets it. `cost` is what the answer cost the
    operator, in the same unit, `engine_us` engine time in microseconds. `outcome` is ``ok`` or the
    code of the error. `writer` names the process. Fields left empty are filled by `Ledger.commit`:
    `id`, `writer`, `created`, `link`.
    """

    call_id: str
    kind: EventKind = "charge"
    seq: int = 0
    units: Mapping[str, int] = field(default_factory=dict)
    price_version: int | None = None
    amount: int = 0
    currency: str = "USD"
    customer: str | None = None
    key_id: str | None = None
    project: str = ""
    endpoint: str = ""
    model_version: str | None = None
    data_version: str | None = None
    cost: int = 0
    engine_us: int = 0
    outcome: str = "ok"
    writer: str = ""
    created: datetime | None = None
    id: str = ""
    link: int | None = None
    rates: tuple[Rated, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of one call, kept for feedback; apart from the ledger, and deletable.

    `index` counts the inputs of the call from 0. `input` is the item as it came (bytes inside), or
    None where inputs are not stored; then `stored` is False. `expires` is when `purge_expired`
    removes the input, None for never; afterwards `purged` is True. `margin` is the distance
    between the two highest scores: small is uncertain. `input_hash` is filled by the ledger.
    """

    prediction_id: str
    index: int
    input: Item
    output: Output
    label: str | None
    score: float | None
    margin: float | None
    model_version: str
    project: str
    customer: str | None = None
    key_id: str | None = None
    expires: datetime | None = None
    stored: bool = True
    purged: bool = False
    input_hash: str | None = None
    created: datetime | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Which answer of which call."""
        return self.prediction_id, self.index


@dataclass(frozen=True, slots=True)
class LedgerCall:
    """What one call writes into the ledger: all of it or nothing.

    `idempotent` is kept beside it for retries; where the customer's key has an answer already,
    nothing of this call is written. `hold_until` is when its hold ends by itself (default: in an
    hour). `withdraws` is an answer that was kept for retries and is not to be given any more.
    """

    events: Sequence[Event]
    predictions: Sequence[Prediction] = ()
    idempotent: Idempotent | None = None
    hold_until: datetime | None = None
    withdraws: Idempotent | None = None

    @property
    def key_id(self) -> str | None:
        """The key that called."""
        return self.events[0].key_id if self.events else None

    @property
    def ends(self) -> bool:
        """Whether it ends a call that began with a hold."""
        return any(event.kind in ("settle", "release") for event in self.events)

    @property
    def asks(self) -> bool:
        """Whether its key has to work when it is written."""
        return self.key_id is not None and not self.ends


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a `LedgerCall`. Written: `amounts` are what its events came to and `created`
    when. Else `earlier` is what an earlier call with its idempotency key was answered, or `error`
    says why it was refused."""

    amounts: tuple[int, ...] = ()
    created: datetime | None = None
    earlier: Idempotent | None = None
    error: FeilunError | None = None

    @property
    def written(self) -> bool:
        """Whether the call is in the ledger, and may be answered as it was about to be."""
        return self.created is not None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody says the right answer is. Later words of the same source on the same answer
    win; the earlier ones are kept. `used_in` is the data version that learned it, or ``discarded``.
    `key_id` is the key that said it, `asked` why a person was asked."""

    id: str
    prediction_id: str
    index: int
    label: str
    source: FeedbackSource
    customer: str | None
    created: datetime
    used_in: str | None
    key_id: str | None = None
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """What somebody says of an answer besides the right one: that they reject it for a `reason`,
    and a `note`; without a reason, the note alone. The last rejection of each source counts."""

    id: str
    prediction_id: str
    index: int
    reason: str | None
    note: str
    source: FeedbackSource
    customer: str | None
    key_id: str | None
    asked: Asked | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Reviewed:
    """How many answers of `model_version` were accepted as they are, edited, or rejected for
    `reason` (`what`); by a customer or the house; `drawn` at random to be looked at, or chosen."""

    model_version: str
    what: Literal["accepted", "edited", "rejected"]
    reason: str | None
    by_customer: bool
    drawn: bool
    answers: int


@dataclass(frozen=True, slots=True)
class AnnotatorStatistics:
    """What one key of one customer got and said since some moment (`past`: before it).

    `answers` it got; of them `sure` had a high score, and by those scores `expected` are wrong.
    `labels` it gave; of them `contradicted` say that a sure answer is wrong.
    """

    customer: str | None
    key_id: str | None
    answers: int = 0
    sure: int = 0
    expected: float = 0.0
    labels: int = 0
    contradicted: int = 0
    past_answers: int = 0
    past_sure: int = 0
    past_labels: int = 0
    past_contradicted: int = 0


@dataclass(frozen=True, slots=True)
class LabelledPrediction:
    """The feedback that counts for one answer, beside the answer itself."""

    feedback: Feedback
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A sum of ledger events: `by` holds the values that were grouped by (``{"project": …}``),
    `units` the counts, `amount` and `cost` micro-units of `currency`."""

    by: Mapping[str, Any]
    currency: str
    units: Mapping[str, int]
    amount: int
    cost: int
    engine_us: int
    events: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of ``feilun doctor``: what was looked at, whether it is well, what was found, and
    what to do about it (empty when well). Texts are in the language in force."""

    name: str
    ok: bool
    detail: str
    fix: str = ""

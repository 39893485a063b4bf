"""What the store gives back: frozen rows of the catalog and of the ledger.

Names that people see are the keys: a project is its name, a model version ``reviews@3``, a data
version ``reviews:2``. Artifacts are ``sha256:…`` references. Every time is UTC with its zone.
Money is an integer of micro-units of the currency (1 USD = 1,000,000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from feilun.errors import FeilunError
from feilun.money import Tariff
from feilun.types import Item, Output, Progress

__all__ = [
    "DEFAULT_SCOPES",
    "Act",
    "ApiKey",
    "ArtifactRow",
    "Asked",
    "AuditCheck",
    "CheckResult",
    "Customer",
    "DataVersion",
    "Deployment",
    "Event",
    "EventKind",
    "Executions",
    "Feedback",
    "FeedbackSource",
    "Idempotent",
    "Invoice",
    "LabelledPrediction",
    "LedgerCall",
    "ModelState",
    "ModelVersion",
    "Prediction",
    "Price",
    "Project",
    "Rated",
    "Role",
    "Run",
    "RunKind",
    "RunState",
    "Server",
    "StepRun",
    "StepState",
    "Subscription",
    "UsageRow",
    "Voice",
]

ModelState = Literal["candidate", "live", "retired", "refused", "failed"]
Role = Literal["live", "canary", "shadow"]
RunKind = Literal["run", "train", "tune", "update", "data audit"]
RunState = Literal["queued", "running", "finished", "failed", "refused", "stopped"]
StepState = Literal["running", "finished", "failed", "interrupted"]
"""``interrupted``: begun by a process that is no more, and begun again since."""
EventKind = Literal["charge", "hold", "settle", "release", "credit", "topup"]
FeedbackSource = Literal["customer", "reviewer", "operator"]
Asked = Literal["audit", "review"]
"""Why a person was asked: the answer was drawn at random, or it was worth a look."""

DEFAULT_SCOPES = ("predict", "feedback", "usage")
"""What a key opens when nothing else was said."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """A project. `name` is what its versions, the ledger and invoices refer to, and never changes;
    `endpoint` the name callers use, by default the same; `names` what it was renamed to, the
    newest last. `deleted` is when it was deleted: its row stays where something was billed."""

    name: str
    task: str
    endpoint: str
    created: datetime
    names: Sequence[str] = ()
    deleted: datetime | None = None

    @property
    def called(self) -> str:
        """What it is called now."""
        return self.names[-1] if self.names else self.name


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """A published artifact: its reference, what it holds (``data``, ``weights``, ``variant``,
    ``report``) and its size in bytes."""

    ref: str
    kind: str
    bytes: int
    created: datetime


@dataclass(frozen=True, slots=True)
class DataVersion:
    """One state of a project's data. `id` is ``project:number``; `artifact` the dataset folder;
    `counts` ``{split: {label: rows}}``; `roles` which column played which role; `info` the rest
    that is worth showing (sources, refused rows, duplicates)."""

    id: str
    project: str
    number: int
    artifact: str
    parent: str | None
    reason: str
    counts: Json
    roles: Json
    info: Json
    created: datetime


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One trained version. `id` is ``project@number``.

    `weights` is the float version's artifact, `variants` ``{name: {"artifact": ref, …figures}}``
    and `variant` the name of the chosen one (None: the weights themselves). `config` is the
    resolved configuration. `pruned` is when gc gave its artifacts up.
    """

    id: str
    project: str
    number: int
    method: str
    state: ModelState
    data_version: str | None
    parent: str | None
    weights: str | None
    variant: str | None
    variants: Json
    report: str | None
    metrics: Json
    config: Json
    reason: str
    run_id: str | None
    created: datetime
    pruned: datetime | None = None

    def artifact(self, variant: str | None = None) -> str | None:
        """The reference of `variant` (default: the chosen one); the weights when there is none."""
        name = self.variant if variant is None else variant
        if name and name in self.variants:
            ref: str = self.variants[name]["artifact"]
            return ref
        return self.weights


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version that answers, or answered, at an endpoint.

    `artifact` is the folder that is served: that of `variant`, or the float weights where
    `variant` is None. `weight` is its share of the calls (0 to 1). It is active while `until` is
    None. `forced` deployments went past the gate and carry their `reason`.
    """

    id: int
    endpoint: str
    project: str
    version: str
    variant: str | None
    artifact: str
    weight: float
    role: Role
    since: datetime
    until: datetime | None
    actor: str
    reason: str
    forced: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One turn of the wheel; `id` is its workflow's id."""

    id: str
    project: str
    kind: RunKind
    state: RunState
    plan: Json
    config: Json
    pid: int | None
    created: datetime
    started: datetime | None
    heartbeat: datetime | None
    finished: datetime | None
    result: Json
    error: str | None


@dataclass(frozen=True, slots=True)
class StepRun:
    """One attempt at a step of a run; `attempt` counts from 1. `progress` is the last sign of
    life, None before the first."""

    run_id: str
    step: str
    attempt: int
    state: StepState
    started: datetime
    finished: datetime | None
    result: Json
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class Executions:
    """How many attempts at a step were begun, and how many of them finished."""

    started: int
    finished: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server process that says it lives. `address` is the base URL other processes of the
    workspace reach it under (``http://127.0.0.1:8000``); `machine` the host name it runs on."""

    id: str
    pid: int
    machine: str
    host: str
    port: int
    address: str
    started: datetime
    heartbeat: datetime


@dataclass(frozen=True, slots=True)
class Customer:
    """Who calls and pays. `details` stand on invoices (``legal_name``, ``address``, ``tax_id``,
    ``language``); `limits` are what all its keys together may use."""

    id: str
    name: str
    created: datetime
    details: Json = field(default_factory=dict)
    limits: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: `prefix` is its visible beginning, `hash` the sha256 of the whole.

    `project` None opens every project. `store_inputs`: days that inputs are kept, 0 for never,
    None for the project's own setting. `scopes` are what it opens (``predict``, ``feedback``,
    ``usage``, ``admin``), `limits` what it may use at most, `successor` the key that takes its
    place, `earlier` the keys whose place it took, oldest first, where the record was read with
    them.
    """

    id: str
    prefix: str
    hash: str
    customer: str
    name: str
    project: str | None
    store_inputs: int | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    limits: Json = field(default_factory=dict)
    successor: str | None = None
    earlier: tuple[str, ...] = ()

    @property
    def line(self) -> tuple[str, ...]:
        """The ids of the keys that count as one: those before it, and its own."""
        return (*self.earlier, self.id)


@dataclass(frozen=True, slots=True)
class Act:
    """One row of the audit log: `number` counts from 1 without gaps; `actor` is a user and machine
    or a key's id; `hash` covers everything else, `previous` is that of the row before."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Json
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What came of reading the audit log's chain: `rows` are whole, `broken` is the first number
    that is not (None: all are), and `why` it is not: ``missing`` (not there, later ones are),
    ``changed``, ``cut`` (the end is gone) or ``other_head`` (not what was exported)."""

    rows: int
    broken: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Price:
    """What 1,000 inputs of `project` cost from `effective` on: `amount` in micro-units of
    `currency`. A version of a `plan` has a `document` instead; its ids are of the same row, so that
    an event's ``price_version`` names either."""

    id: int
    project: str | None
    amount: int | None
    currency: str
    effective: datetime
    created: datetime
    plan: str | None = None
    document: Json | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """`customer` (an id) is on `plan` from `effective` on, until its next subscription; None: on no
    plan, so that list prices hold."""

    id: int
    customer: str
    plan: str | None
    effective: datetime
    created: datetime


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
class Voice:
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

"""What the store gives back of the catalog: frozen rows. Those of the ledger are in
`store.ledger_records`.

Names that people see are the keys: a project is its name, a model version ``reviews@3``, a data
version ``reviews:2``. Artifacts are ``sha256:…`` references. Every time is UTC with its zone.
Money is an integer of micro-units of the currency (1 USD = 1,000,000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from feilun.messages import language
from feilun.types import Progress

__all__ = [
    "DEFAULT_SCOPES",
    "GOLDEN",
    "LOOK_KINDS",
    "REASON_IN",
    "Act",
    "ApiKey",
    "ArtifactRow",
    "AuditCheck",
    "CurvePoint",
    "Customer",
    "DataVersion",
    "Deployment",
    "Executions",
    "LookKind",
    "ModelState",
    "ModelVersion",
    "Price",
    "Project",
    "Role",
    "Run",
    "RunKind",
    "RunState",
    "Server",
    "StepRun",
    "StepState",
    "Subscription",
]

ModelState = Literal["candidate", "live", "retired", "refused", "failed"]
Role = Literal["live", "canary", "shadow"]
LookKind = Literal[
    "data audit", "data clean", "plan", "compare", "bases", "explore", "judge", "preference"
]
LOOK_KINDS: tuple[LookKind, ...] = get_args(LookKind)
"""What a worker carries out beside turns: no model version comes of it."""
RunKind = Literal["run", "train", "tune", "update", LookKind]
RunState = Literal["queued", "running", "finished", "failed", "refused", "stopped"]
StepState = Literal["running", "finished", "failed", "interrupted"]
"""``interrupted``: begun by a process that is no more, and begun again since."""

REASON_IN = "reason_in"
GOLDEN = "golden"
"""In the metrics of a model version: its reason by language, and what the golden requests proved
when it was to go live last."""

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

    @property
    def told(self) -> str:
        """`reason` in the language in force, where it was kept in every one."""
        said: str = self.metrics.get(REASON_IN, {}).get(language(), self.reason)
        return said

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
    """One turn of the wheel; `id` is its workflow's id. `error` says why it failed, `hint` what to
    do about it."""

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
    hint: str = ""


CurvePoint = tuple[float, Mapping[str, float]]
"""How much of a step was done, and the figures of that moment."""


@dataclass(frozen=True, slots=True)
class StepRun:
    """One attempt at a step of a run; `attempt` counts from 1. `progress` is the last sign of
    life, None before the first. `curve` are the figures on the way: how much was done, and what
    they were then; `notes` what the step said in words."""

    run_id: str
    step: str
    attempt: int
    state: StepState
    started: datetime
    finished: datetime | None
    result: Json
    progress: Progress | None
    curve: Sequence[CurvePoint] = ()
    notes: Sequence[str] = ()


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

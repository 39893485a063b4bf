"""What the steps exchange: frozen values, no behaviour, nothing heavy imported.

References name immutable things in the store; steps are functions from references to references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Chunk",
    "ColumnSample",
    "Encoded",
    "EngineRequest",
    "Example",
    "Item",
    "OneOf",
    "Output",
    "Progress",
    "Range",
    "Real",
    "Roles",
    "Row",
    "Scalar",
    "Schema",
    "Split",
    "Usage",
    "Whole",
]

Scalar = str | bytes | int | float | bool | None
"""One value. On the wire bytes travel as ``{"$base64": "..."}``."""

Item = Scalar | Mapping[str, Scalar]
"""One input: a scalar, or ``{column: value}`` for rows of several columns or modalities."""

Split = Literal["train", "validation", "test"]

Output = dict[str, Any]
"""One answer, shaped like a transformers pipeline's: ``{"label": str, "score": float, ...}``."""


@dataclass(frozen=True, slots=True)
class Real:
    """Numbers from `low` to `high`; `log` where factors count rather than differences."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers from `low` to `high`, both among them; `log` as of `Real`."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Any of `values`, which have no order."""

    values: tuple[str | int | float | bool, ...]


Range = Real | Whole | OneOf
"""What a setting may be while a search tries it."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column of the user's file plays which role of the task.

    `inputs` maps the task's input column to the file's (``{"text": "review"}``); `label`, `id`,
    `group`, `subject` and `time` name the file's columns, None where it has none.
    """

    inputs: Mapping[str, str]
    label: str | None = None
    id: str | None = None
    group: str | None = None
    subject: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnSample:
    """What is known of a file's column before its role is: the name and up to 1,000 values."""

    name: str
    values: Sequence[Scalar]


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row of a source, before cleaning: `number` counts from 1 as the user counts."""

    number: int
    values: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a data version. `item` is what a caller would send; `label` None if unlabelled.
    `time`, seconds since 1970, helps to divide rows as they come in and is not stored."""

    row_id: str
    item: Item
    label: str | None
    split: Split = "train"
    group: str = ""
    subject: str = ""
    source: str = ""
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model of one data version answers: the task's name, its labels in the order of the
    output columns, and the task's own settings (``max_length``, ``image_size``, ...)."""

    task: str
    labels: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One item ready for `Processor.collate`: compact arrays without the batch axis, and the `cost`
    it adds to a batch (tokens for text, pixels for images), by which batches are sorted and
    budgeted. `cut` says how much was left out to fit (tokens); 0 when the item is whole.

    An item that is too long to be read at once has `parts`, each a row of a batch, and no arrays of
    its own. `text` is what places in the arrays point into, where the answer needs it.
    """

    arrays: Mapping[str, np.ndarray]
    cost: int
    cut: int = 0
    parts: tuple[Encoded, ...] = ()
    text: str = ""

    @property
    def rows(self) -> tuple[Encoded, ...]:
        """What a network reads of the item, a row each."""
        return self.parts or (self,)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer consumed. `tokens` counts real tokens (no padding), `pixels` input pixels.

    `queue_seconds` is how long its first input waited to be prepared and its last for a batch,
    `encode_seconds` its share of the time that preparing took (tokens, decoded pictures). `units`
    are further counts that may be charged, by their names: ``tokens_in``, ``tokens_cached`` (read
    before, and kept), ``tokens_out``, ``documents``.

    `upstream` are the ``inputs``, ``tokens_in`` and ``tokens_out`` of these that another server
    answered, and may want money for; `upstream_seconds` are those of the engine's seconds in which
    it was waited for, and no machine here worked.
    """

    inputs: int = 0
    tokens: int = 0
    pixels: int = 0
    engine_seconds: float = 0.0
    queue_seconds: float = 0.0
    encode_seconds: float = 0.0
    units: Mapping[str, int] = field(default_factory=dict)
    upstream: Mapping[str, int] = field(default_factory=dict)
    upstream_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A call as an engine sees it: decoded items and whether all class scores are wanted. Turns go
    round the `customer` names that wait. What still waits at `deadline` (of `time.monotonic`) is
    dropped; None waits for ever. `vectors` adds the ``vector`` of each item to its output, where
    the model has one. `stream` asks for texts in pieces. `options` say how to write them
    (`feilun.engines._streaming`), or what else is asked of this kind of engine
    (`feilun.engines._search`)."""

    items: Sequence[Item]
    all_scores: bool = False
    customer: str = ""
    deadline: float | None = None
    vectors: bool = False
    stream: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an engine's answer; the last one carries `usage`. A classifier yields just one.
    `costs` are the tokens or pixels of each input, where the engine counts them.

    Of a stream, `delta` is the text that is added to the answer of input `index`, and `usage` what
    the call has consumed up to here; the `final` piece has no text and the whole answer in
    `outputs`. `logprobs` are those of the delta's tokens and `calls` the tool calls that are added,
    both in OpenAI's form."""

    outputs: Sequence[Output] = ()
    usage: Usage | None = None
    costs: Sequence[int] | None = None
    index: int = 0
    delta: str = ""
    final: bool = False
    logprobs: Sequence[Mapping[str, Any]] = ()
    calls: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """One sign of life of a long step: `done` of `total` in `unit`, with the figures of the moment
    (``{"loss": 0.41, "accuracy": 0.83}``)."""

    step: str
    done: float
    total: float
    unit: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

"""What comes out of a model. Each other module of this package is a family of answers.

A task names its family (``Task.family``). Everything that depends on the kind of the answer is
asked of it: what a cell of the label column says is right, how rows are counted, how raw outputs
become answers, how answers are scored and compared, what an API returns. No other room needs to
know whether a model answers with a class, a number, spans or a ranking.

**Targets are text.** What is right for a row travels and is stored as one canonical string: a
label as it is, a number as ``repr`` writes it, spans as JSON. So equal targets are equal strings
in the data, in the ledger, in feedback and in a review, whatever the family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
from markupsafe import Markup

from feilun.families.combining import Combining
from feilun.families.instructed import Instructed
from feilun.families.sheet import Error, Sheet
from feilun.families.tally import PairTally, Peculiarity, Tally
from feilun.messages import Language, t
from feilun.metrics.measured import Measured
from feilun.metrics.share import Share
from feilun.render.reason import Reason
from feilun.types import Encoded, Output, Range, Scalar, Schema

if TYPE_CHECKING:
    from feilun.config import ProjectConfig
    from feilun.families.objective import Objective

__all__ = [
    "AnswerTensor",
    "Answers",
    "Contrast",
    "Decoder",
    "Difference",
    "Disagreement",
    "Error",
    "Family",
    "PairTally",
    "Peculiarity",
    "Region",
    "Sheet",
    "Tally",
]


def _json(output: Output) -> str:
    return msgspec.json.encode(output).decode()


Decoder = Callable[[np.ndarray, bool], list[Output]]
"""Raw outputs, rows first, to answers; the flag asks for all scores where a family has more than
one."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One version's `raw` outputs on the rows of an evaluation, rows first, before its operating
    point. `labels` are its schema's, and `point` is its card's operating point."""

    name: str
    method: str
    labels: tuple[str, ...]
    raw: np.ndarray
    point: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two answers to one input: whether they say the `same`, and by how much their figures differ
    (probabilities; 1 and more where they do not)."""

    same: bool
    size: float


@dataclass(frozen=True, slots=True)
class AnswerTensor:
    """One output of the Open Inference Protocol: its `shape` (-1 for the batch), and its `values`
    from the answers. `usual` ones come unasked; `everything` tells that all scores are needed."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Callable[[Sequence[Output]], Any]
    usual: bool = True
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row that two variants of one version answer differently: both answers in words, and by
    how much the first was `sure`."""

    row: int
    first: str
    second: str
    sure: float


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture that an answer is about: the left, top, right and bottom of its box in
    pixels of the upright picture, what it is called, and how sure that is (0 to 1)."""

    box: tuple[float, float, float, float]
    label: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """What an explanation is about: what speaks for `answer` and against `other`, each "" where
    there is but one thing to speak of. `measure` reads the quantity off an answer with all its
    scores; `direction` (width,) gives the same from raw outputs, where the model is linear in its
    features."""

    answer: str
    other: str
    measure: Callable[[Output], float]
    direction: np.ndarray


class Family(Combining, Instructed, ABC):
    """A kind of answer. Stateless: one object serves all tasks of the family."""

    name: ClassVar[str]
    metrics: ClassVar[Mapping[str, bool]]
    """Every metric in the order of reports, and whether more of it is better."""
    primary: ClassVar[str]
    """The metric that versions are compared by, unless the task says otherwise."""
    many_targets: ClassVar[bool] = True
    """Whether every row may have a target of its own. Where it may not, a column of very many
    different values has been taken for the wrong one."""
    numeric: ClassVar[bool] = False
    """Whether a target is one number, which people write in many ways (`feilun.numerals`)."""
    structured: ClassVar[bool] = False
    """Whether a target is a list or a mapping where the format has such values."""
    several_right: ClassVar[bool] = False
    """Whether an input may have several right answers, each in a row of its own. Rows are then the
    same only with the same target, two targets of one input are no conflict, and the rows of one
    input are judged as one question (`together`)."""
    points: ClassVar[bool] = False
    """Whether a target points into its input, so that nothing may move inside the input."""
    unjudged: ClassVar[bool] = False
    """Whether a version may go live, and rows be few, before any row can judge it."""
    streams: ClassVar[bool] = False
    """Whether answers are texts, which may come in pieces: then `text` and `cut` are there."""
    stratum_words: ClassVar[Mapping[str, str]] = {}
    """Strata that are no labels, each with the key of what it is called."""
    invariant: ClassVar[bool] = False
    """Whether a target stays right when its input is changed a little, as typing slips do: then
    training may learn from changed copies."""
    differentiable: ClassVar[bool] = False
    """Whether a network learns it by gradients: `outputs` and `objective` are there."""
    by_position: ClassVar[bool] = False
    """Whether a network answers for each position of an item, of which `gathered` makes an answer,
    and not once for the whole."""
    probed: ClassVar[bool] = False
    """Whether a network's new last layer begins as a linear probe of its base; see
    `feilun.training.probe`."""
    keeps_base: ClassVar[bool] = False
    """Whether answers need much of what a base knows, which is lost where all its weights learn:
    then adapters are tried first."""
    least_rows: ClassVar[int | None] = None
    """Training rows from which a network is tried, where they are fewer than its method says."""
    epochs: ClassVar[int] = 2
    batch_rows: ClassVar[int] = 64
    smallest_batch: ClassVar[int] = 8
    rate: ClassVar[float] = 1.0
    """Passes over the rows, rows of a batch at most and (where rows are few) at least, and the
    share of a method's usual step size by which a pretrained network learns it unless the project
    says otherwise."""
    adapter_rate: ClassVar[float | None] = None
    """That share for adapters, where it is not `rate`."""
    Raw: ClassVar[Any] = None
    """The type of one raw output that is no row of numbers and can be kept as JSON; None where it
    is such a row, or cannot."""
    faults: ClassVar[tuple[str, ...]] = ()
    """For what an answer may be rejected by who does not say what would be right, each the key
    ``feedback.fault_NAME`` of a sentence. None where the right target is said as quickly."""
    problem_type: ClassVar[str | None] = None
    """What transformers calls the problem in the configuration of a trained network."""
    Details: ClassVar[type | None] = None
    """A frozen dataclass: what an evaluation holds of this family alone; it travels as JSON."""

    # What is right.

    @abstractmethod
    def target(self, value: Scalar | list[Any] | Mapping[str, Any]) -> str | None:
        """The canonical text of what a cell or a correction says is right; None where it says
        nothing. Raises `InvalidData` for what cannot be a target."""

    @abstractmethod
    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """What a schema has to list to answer these targets (labels, kinds of spans), in a stable
        order; nothing where the family needs no list."""

    def together(self, targets: Sequence[str]) -> str:
        """The target of one question to which all of these are right answers. Default: the last;
        only a family with `several_right` is asked."""
        return targets[-1]

    def stratum(self, target: str) -> str:
        """The group of rows that `target` is counted with, and divided evenly with among train,
        validation and test. Default: the target itself."""
        return target

    def called(self, stratum: str) -> str:
        """A stratum in words of the language in force: a label as it is."""
        key = self.stratum_words.get(stratum)
        return t(key) if key else stratum

    def asks(self, target: str) -> bool:
        """Whether a row with this target is one that callers may send and that judges; any other
        (a passage to answer from) always trains. Default: it is."""
        return True

    def strata(self, targets: Mapping[str, int]) -> list[str]:
        """The group with which each of `targets` is divided, knowing how many rows each has.
        Default: its stratum."""
        return [self.stratum(target) for target in targets]

    def relabelled(
        self, target: str, names: Mapping[str, str], dropped: Collection[str] = ()
    ) -> str | None:
        """`target` where labels are called otherwise: `names` from old ones to new ones. Without
        those that are `dropped`; None where nothing is left to be right. Default: for targets that
        are labels."""
        return None if target in dropped else names.get(target, target)

    def tally(self) -> Tally | None:
        """A new one, for the audit; None where the family has nothing to look for."""
        return None

    def notices(
        self, targets: Mapping[str, Mapping[str, int]]
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """What deserves a word before anything is learnt: keys of sentences with their figures.
        `targets` are the rows of each target, by split. Default: nothing."""
        return ()

    @abstractmethod
    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Targets as an array (rows,), as `sheet` wants them; unlabelled rows, and rows that a
        model of `labels` cannot answer, are such that `known` says so."""

    @abstractmethod
    def known(self, truth: np.ndarray) -> np.ndarray:
        """Which rows of `truth` have a target: boolean (rows,)."""

    def teachable(self, targets: Iterable[str]) -> bool:
        """Whether anything can be learnt from these targets. Default: two that differ."""
        return len(set(targets)) > 1

    # How it is learnt.

    losses: ClassVar[Mapping[str, Range]] = {}
    """Settings by which learning weighs or softens targets, with what a search may make of them; it
    tries those that a method has. Default: none."""

    def weights(
        self,
        truth: np.ndarray,
        labels: Sequence[str],
        balance: str,
        own: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """How much rows of each of `labels` weigh in learning, float32 (labels,); None for all
        alike. `balance` is the setting ``class_weights``; `own` is the truth of the rows that are
        no changed copies, whose shares the labels keep. Default: None."""
        return None

    def outputs(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The names of what a network gives for a row, or for each position of it. Default: none,
        where no network learns it."""
        return ()

    def objective(
        self,
        truth: np.ndarray,
        labels: tuple[str, ...],
        settings: Any,
        own: np.ndarray | None = None,
    ) -> Objective:
        """What a network learns from rows with this `truth`; `settings` are its method's, `own` as
        in `weights`. Needed where the family is `differentiable`."""
        raise NotImplementedError(self.name)

    def gathered(
        self, outputs: np.ndarray, batch: Sequence[Encoded], labels: Sequence[str]
    ) -> np.ndarray:
        """A network's `outputs` for the rows of `batch` as raw outputs, one an item. Default: as
        they are."""
        return outputs

    # What is answered.

    @abstractmethod
    def width(self, labels: Sequence[str]) -> int:
        """Numbers that raw outputs hold for each row before they are decoded; 0 where they are
        objects."""

    def example_raw(self, rows: int, labels: Sequence[str], seed: int) -> np.ndarray:
        """Raw outputs drawn at random, as the contract tests need them."""
        drawn = np.random.default_rng(seed).normal(size=(rows, self.width(labels)))
        return drawn.astype(np.float32)

    @abstractmethod
    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """Turns raw outputs into answers as a card's operating point says."""

    @abstractmethod
    def said(self, output: Output) -> str:
        """The canonical text of an answer: equal to the target it should have had where it is
        right."""

    def public(self, output: Output, everything: bool) -> Output:
        """The answer as a caller sees it; `everything` with what is there only on request. Who of
        several models gave it is not told."""
        return {name: value for name, value in output.items() if name != "passed_on"}

    def text(self, output: Output) -> str:
        """The text of an answer, where the family `streams`."""
        raise NotImplementedError(f"{self.name} does not stream")

    def worded(self, output: Output) -> str:
        """An answer as people read it. Default: its canonical text."""
        return self.said(output)

    def regions(self, output: Output) -> Sequence[Region]:
        """Where in a picture what is answered lies. Default: nowhere."""
        return ()

    def cut(self, text: str) -> Output:
        """The answer of which no more than `text` came, where the family `streams`."""
        raise NotImplementedError(f"{self.name} does not stream")

    def tensors(self, schema: Schema, point: Mapping[str, Any]) -> Sequence[AnswerTensor]:
        """The answers as tensors of the Open Inference Protocol. Default: each answer as JSON."""
        return (
            AnswerTensor("output", "BYTES", (-1,), lambda outputs: [_json(o) for o in outputs]),
        )

    def neutral(self) -> dict[str, Any]:
        """The operating point of a version that has not been calibrated."""
        return {}

    def abstains(self, point: Mapping[str, Any]) -> bool:
        """Whether answers may be marked as too unsure."""
        return False

    def bare(self, output: Output) -> Output:
        """The answer without what is there only on request."""
        return output

    @abstractmethod
    def differ(self, left: Output, right: Output) -> Difference:
        """How an answer over one path differs from that over another."""

    def contrast(
        self,
        schema: Schema,
        point: Mapping[str, Any],
        output: Output,
        answer: str | None = None,
        other: str | None = None,
    ) -> Contrast | None:
        """What there is to explain of `output`, by default of its own answer; None for nothing."""
        return None

    @abstractmethod
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of one answer on the wire."""

    def target_schema(self) -> dict[str, Any]:
        """JSON Schema of what feedback says is right."""
        return {"type": ["string", "number", "boolean"]}

    # How good it is.

    def calibrate(
        self, raw: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], config: ProjectConfig
    ) -> tuple[dict[str, Any], list[str]]:
        """The operating point set on labelled validation rows (maybe none), and what is to be said
        of it. Default: there is nothing to set."""
        return {}, []

    @abstractmethod
    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Measured:
        """One version's answers beside the truth; every row has a target."""

    def each_label(
        self, measured: Measured, labels: tuple[str, ...]
    ) -> Sequence[Mapping[str, Any]]:
        """Of each label by itself its ``rows``, how many were ``answered`` so and ``right``, and
        scores as ``{value, low, high}`` by name. Default: none, where answers are no labels."""
        return ()

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Measured:
        """Answers as they were served beside the targets. Default: which of them are right, as a
        share called by the primary metric's name."""
        right = [self.said(one) == target for one, target in zip(outputs, targets, strict=True)]
        return Share(np.array(right, dtype=bool))

    @abstractmethod
    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> Sheet:
        """All versions on the rows with a target; `truth` is in terms of `labels`."""

    @abstractmethod
    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows that two variants answer differently, the surest first."""

    def constant(
        self, targets: Mapping[str, int], labels: tuple[str, ...], rows: int
    ) -> Answers | None:
        """What always giving the best constant answer would answer: the floor under any model.
        `targets` are the training rows of each stratum. None where the family has no such thing."""
        return None

    def renamed(self, answers: Answers, names: Sequence[str]) -> Answers:
        """`answers` of a version whose labels are called `names` now. Default: as they are."""
        return answers

    # What is said of it.

    def reasons(self, evaluation: Any) -> Sequence[Reason]:
        """The family's own reasons for the gate, from an `Evaluation`."""
        return ()

    sentences: ClassVar[Mapping[str, str]] = {}
    """Keys of sentences of the report that this family says otherwise, each with its own key."""

    def miss_words(self, miss: Any, lang: Language) -> str:
        """What is said of a row answered wrong (a `Miss`), beside truth and answer."""
        return ""

    def tiles(self, evaluation: Any) -> Sequence[tuple[Any, str, Any]]:
        """Further figures in large type of the report: name, value, and what stands under it."""
        return ()

    def sections(self, evaluation: Any) -> Markup:
        """The family's own part of the report's page."""
        return Markup("")

    def next_step(self, evaluation: Any, lang: Language) -> str | None:
        """What brings the candidate nearer to the user's target; None where nothing is missing, or
        there is no target."""
        return None

    def worth(self, evaluation: Any, lang: Language) -> tuple[str | None, Sequence[str]]:
        """What the answers are worth where they are used: a sentence on the user's target, None
        without one, and sentences on how the answers are used."""
        return None, ()

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """Sentences on where the candidate of an `Evaluation` is weak."""
        return ()

"""What a task is, and what a kind of input brings to it.

A task file of `feilun.tasks` defines ``class Task(TaskBase)``, mostly by one of the classes of this
package: `text.task.TextTask`, `image.task.PictureTask`, `table.task.Table`, `series.task.Series`.
What training and serving must agree on (encode, collate, decode) lives here once, in numpy; torch
appears only inside `TaskBase.load`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from feilun import messages
from feilun.families.base import Family, PairTally
from feilun.families.objective import Objective
from feilun.messages import Language
from feilun.modalities.noise import Disturbance
from feilun.modalities.pieces import Pieces
from feilun.types import ColumnSample, Encoded, Example, Item, Output, Range, Roles, Scalar, Schema

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix

__all__ = [
    "Column",
    "Encoded",
    "Features",
    "Fitted",
    "Lessons",
    "Processor",
    "RowReader",
    "TaskBase",
    "TaskSettings",
    "fit_features",
]

Arrays = dict[str, np.ndarray]

RowReader = Callable[[Item, Any, Mapping[str, Any]], Sequence[tuple[Item, Any]] | str]
"""The rows that one row of a file is, each an item and what a label cell would say: from the cell
of the input, that of the label, and all cells by their columns. A row that is left out is the key
of the sentence that says why, with ``rows`` of ``file``."""


class TaskSettings(BaseModel):
    """Base of a task's own settings, the ``[task]`` table of the project file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Column:
    """An input column of a task: its role's name, what it holds, and names it often has."""

    name: str
    kind: Literal["text", "image", "number", "category", "date"]
    aliases: tuple[str, ...] = ()


class Processor(Protocol):
    """Turns items into arrays; the same object in training and serving, without torch."""

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """Each item on its own. Raises `InvalidData` for an item that cannot be encoded."""
        ...

    def collate(self, batch: Sequence[Encoded], multiple: int = 1) -> Arrays:
        """One batch, padded to its longest row, rounded up to a `multiple` where the model has
        room: an engine that prepares itself for each new shape wants few. The first axis is the
        batch. Of an item with `parts` these are the rows, see `Encoded.rows`."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the files that `TaskBase.processor` reads back from `folder`. A ``config.json``
        that is already there is kept."""
        ...

    def unknown_share(self, items: Sequence[Item]) -> float:
        """Share (0 to 1) of these items that the base model cannot read: unknown tokens of all
        tokens. High means: the base does not know this language."""
        ...


class Lessons(Protocol):
    """What a network that writes reads of rows with their targets, while it learns them."""

    @property
    def format(self) -> str:
        """The format of the version that comes out, which decides its engine."""
        ...

    @property
    def objective(self) -> Objective:
        """What gradients teach."""
        ...

    @property
    def extra(self) -> Mapping[str, Any]:
        """What the card of the version says of these rows, once they are encoded."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say of the base, in words."""
        ...

    def encode(self, items: Sequence[Item], targets: Sequence[Any]) -> list[Encoded]:
        """Each row with its target. A row that would teach nothing has a cost of 0."""
        ...

    def collate(self, batch: Sequence[Encoded], targets: Sequence[Any]) -> Arrays:
        """One batch for the network, and ``labels``: what each of its outputs should be, `IGNORED`
        where nothing is learnt. They stand where the outputs stand."""
        ...

    def save(self, folder: Path) -> None:
        """Writes what is needed beside the weights to ask the network again."""
        ...


class Features(Protocol):
    """Turns items into the sparse or dense rows of the linear baseline; see also `Fitted`."""

    @property
    def size(self) -> int:
        """Number of columns."""
        ...

    def transform(self, items: Sequence[Item]) -> csr_matrix | np.ndarray:
        """Shape (len(items), size), float32."""
        ...


class Fitted(Protocol):
    """Features that are fitted to rows before they turn any: what a category is called, where the
    middle of a number lies. `state` is kept with what was trained on them, as JSON."""

    @property
    def state(self) -> Mapping[str, Any]:
        """All that was fitted; `TaskBase.features` makes equal features of it."""
        ...

    @property
    def owners(self) -> np.ndarray:
        """The input column that each feature comes from, as its place among the task's columns."""
        ...

    def fit(self, items: Sequence[Item]) -> Features:
        """These features fitted to `items`."""
        ...


class TaskBase(ABC):
    """One kind of question that a model answers. The docstring of a task's class opens its page in
    the documentation."""

    summary: ClassVar[str | Mapping[str, str]]
    """The sentence that says what the task answers: its key, or by language (``en``, ``zh``) where
    the task comes from elsewhere."""
    Settings: ClassVar[type[TaskSettings]]
    columns: tuple[Column, ...]
    """The inputs. Of a task with `open_columns` none, until it is `bound` to those of some data."""
    open_columns: ClassVar[bool] = False
    """Whether the inputs are whatever columns the data has."""
    named_inputs: ClassVar[tuple[str, ...]] = ()
    """Inputs that a task with `open_columns` calls by names of its own, whatever the data does."""
    split_by: ClassVar[Literal["series"] | None] = None
    """How rows are always divided, whatever ``[data] split_by`` says: ``series``: of each series,
    as `ordered` names them, the newest rows judge. None: as the settings say."""
    undivided: ClassVar[bool] = False
    """Whether rows that one row of a file stands for (see `reader`) stay in one split, because the
    later ones repeat the earlier."""
    nested: ClassVar[bool] = False
    """Whether a cell of an input may be a list or a mapping, which `check` understands."""
    documents: ClassVar[bool] = False
    """Whether folders and files of running text are documents to answer from, and tables that ask
    nothing too (`is_document`)."""
    prose: ClassVar[bool] = False
    """Whether text files are read as documents (`feilun.data.sources.plain`), not as tables."""
    self_supervised: ClassVar[bool] = False
    """Whether an input is its own target where no column says another; `reader` makes it so."""
    observations: ClassVar[bool] = False
    """Whether each row is an observation, so that rows of equal inputs are different ones, whatever
    their targets. Else they are one row, whose targets contradict each other where they differ."""
    lean: ClassVar[bool] = False
    """Whether of near-duplicates the first alone is kept: what is read twice is learnt by heart."""
    label_aliases: ClassVar[tuple[str, ...]] = ()
    header_names: ClassVar[tuple[str, ...]] = ()
    """What else columns of its files are called, by which a header is told from a row."""
    recurring: ClassVar[bool] = False
    """Whether the same input comes back and is then to be answered otherwise, like a customer who
    has bought what was recommended. Its rows are divided one by one; else all rows of an input
    with several right answers stand in one split."""
    family: ClassVar[Family]
    """What comes out: how targets, answers and scores of this task work."""
    examples: ClassVar[tuple[Example, ...]]
    """Three inline rows with labels, for documentation and the contract tests."""
    encodes: ClassVar[bool] = False
    """Whether networks read its inputs: `processor` and `load` are there."""
    default_base: ClassVar[str | None] = None
    """Starter that `auto` uses when the project names no base; None: the linear baseline
    only."""

    scratches: ClassVar[tuple[str, ...]] = ()
    """Bases that begin from nothing, by their names, such as ``scratch:vit``."""
    begins: ClassVar[str | None] = None
    """What a method that learns this task begins from where the project names no base and there is
    no `default_base`: a name such as ``scratch:auto``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def about(self, lang: messages.Language) -> str:
        """The `summary` in words."""
        found = self.summary
        return messages.t(found, lang) if isinstance(found, str) else found[lang]

    @property
    def primary(self) -> str:
        """The metric by which versions are compared; the family's, unless a task overrides it."""
        return self.family.primary

    @property
    def modality(self) -> str:
        """What goes in: the kind of the input, or ``table`` for rows of several columns."""
        return self.columns[0].kind

    def bound(self, settings: Mapping[str, Any]) -> TaskBase:
        """This task for the columns that `settings` (of a `Schema`) name, and as they say that rows
        are read; itself where both are always the same."""
        return self

    def inputs(self) -> dict[str, Any]:
        """What `bound` reads: the part of a schema's settings that names the columns. Nothing
        where they are always the same."""
        if not (self.open_columns and self.columns):
            return {}
        # A list, because the order counts and JSON with sorted keys would lose it.
        return {"inputs": [[column.name, column.kind] for column in self.columns]}

    def find_columns(
        self,
        columns: Sequence[ColumnSample],
        settings: Mapping[str, Any],
        roles: Roles | None = None,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """For a task with `open_columns`: `settings` completed with the inputs among `columns`,
        and the columns that are none with the key of the sentence that says why. `roles` are what
        `recognise` made of the table that they come from, where they come from one."""
        return dict(settings), {}

    def understood(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """How the columns of a bound task were read, for whoever added the data: keys of sentences
        with their figures. Default: nothing, because there was nothing to find out."""
        return ()

    def modalities(self) -> Mapping[str, tuple[str, ...]]:
        """The columns of a bound task by what has to be read in them (texts, pictures, values).
        Where there is more than one, methods that can do so also learn from each alone and from
        all without it, and an evaluation tells what each adds. Default: one, of all columns."""
        return {self.modality: tuple(column.name for column in self.columns)}

    @abstractmethod
    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """Guesses the roles of a file's columns. Raises `InvalidData` naming the columns there are
        when no input column can be told."""

    def label_columns(self, columns: Sequence[ColumnSample]) -> Mapping[str, Scalar]:
        """The columns that only together say what is right, such as one of yes and no for each
        tag, and what an empty cell of each says. The family gets them as a mapping of their names
        to their cells. Default: none."""
        return {}

    def label_cells(
        self, columns: Sequence[ColumnSample]
    ) -> Mapping[str, Callable[[Scalar], Scalar]]:
        """How a cell of some of these columns is read where they are joined as `label_columns`
        says: a table of texts has no numbers. Default: as it stands."""
        return {}

    def is_document(self, columns: Sequence[ColumnSample]) -> bool:
        """Whether a table with these columns is a document, each row a section of it, where the
        task reads `documents`. Default: no table is."""
        return False

    def describes(
        self, columns: Sequence[ColumnSample], given: Mapping[str, str]
    ) -> tuple[str, str] | None:
        """For a table that asks nothing but says what users or items are like: what it describes
        and the column that names it; `given` are the columns of the roles that were given. Default:
        no table does."""
        return None

    def description(self, kind: str, name: Any, columns: Mapping[str, Any]) -> tuple[Item, Any]:
        """The row that says of the `name` of a `kind` what `columns` hold: an item, and what its
        label cell would say. For a task whose tables may describe."""
        raise NotImplementedError(self.name)

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """For files with the columns `samples` in which a row may stand for several, or says more
        than its input and its label; None where each row is one. A row that is read as none says
        nothing to be learnt: it is left out and counted."""
        return None

    @abstractmethod
    def check(self, item: Item) -> Item:
        """The item in the task's own form (a one-column mapping becomes its scalar, wire-tagged
        bytes are bytes already). Raises `InvalidData` for what can never be answered."""

    def agree(self, item: Item, target: str) -> None:  # noqa: B027 - most targets fit every item
        """Raises `InvalidData` where a canonical target cannot be right for a checked item, such as
        a span that ends outside its text. Default: every target can."""

    def inspection(self) -> PairTally | None:
        """A new look at rows for the audit, item beside target; None where there is nothing to look
        for."""
        return None

    def ordered(self, item: Item) -> tuple[str, float] | None:
        """The series that a checked item belongs to and its time, any number that grows; None where
        items have no order."""
        return None

    def expand(self, item: Item) -> Sequence[Item]:
        """The items that a checked input asks about: more than one where it is short for several.
        Default: itself."""
        return (item,)

    def kept(self, item: Item, output: Output) -> Item:
        """The item as it is kept beside its answer, for feedback, where the answer settles what the
        item left open. Default: as it is."""
        return item

    def question(
        self, item: Item, targets: Sequence[str], earlier: Sequence[str] | None = None
    ) -> tuple[Item, str | None]:
        """What a model is asked, and what is right, when it is judged by rows that have the same
        `item`; `targets` come in an order that other rows do not change. `earlier` are the targets
        of the same item in the splits before, where rows are divided one by one; None for rows
        that stand in no data version. For a family with `several_right`. Default: the item, and
        all its targets.
        Without a target the question is not judged."""
        return item, self.family.together(targets)

    def described(self, item: Item) -> Item:
        """What rows are told apart by where a version is judged on parts of them: a text by its
        length, columns by their values. Default: the item itself."""
        return item

    def readable(self, item: Item, lang: Language | None = None) -> Item:
        """The item as it is shown to people who are asked about it, in `lang` (default: the one in
        force). Default: as it is."""
        return item

    def without_options(self, item: Item) -> Item:
        """A checked item as a row keeps it: what a caller wanted of the answer alone (how many
        items) is no part of it. Default: the item."""
        return item

    def conversation(self, messages: Sequence[Mapping[str, Any]]) -> Item | None:
        """The item that the `messages` of a conversation are, for a task that answers them; None
        for every other. Raises `InvalidData` naming the message that is at fault."""
        return None

    def unanswered(self, item: Item, settings: Mapping[str, Any]) -> str:
        """What is said to a checked item where a model that answers with texts knows no answer;
        `settings` are those of a `Schema`. Default: nothing."""
        return ""

    def accept(self, item: Item) -> Item:
        """As `check`, without what encoding the item finds by itself: for whoever encodes it next.
        Default: `check`."""
        return self.check(item)

    @abstractmethod
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of one input on the wire; bytes are ``{"$base64": "..."}``."""

    @abstractmethod
    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The processor kept in `folder`, a base model or a version; for a base that begins from
        nothing (``scratch:resnet``) the one that `settings` describe. Raises `InvalidData` when
        the folder keeps none that can be used."""

    def counter(self, folder: Path, settings: Mapping[str, Any]) -> Processor | None:
        """What counts how much the base in `folder` reads of items: its `processor`. None for a
        base that reads values as they are. Raises `InvalidData` as `processor` does."""
        return self.processor(folder, settings)

    @abstractmethod
    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """The features of the linear baseline. `state` is what `Fitted`
        features keep; without it they are not fitted yet (see `fit_features`)."""

    @abstractmethod
    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """A torch module whose ``forward(**arrays)`` gives float32 (batch, outputs), and (batch,
        length, outputs) where the family answers for each position; `Family.outputs` names them.

        `base` is a transformers folder: what its head knows of these outputs is kept (also when
        some were added or stand in another order), else a new head begins. A name such as
        ``scratch:vit`` (images) begins from nothing. The attribute ``model`` is the transformers
        model inside, with the outputs' names in its config: the one to train and to save.
        """

    def lessons(self, base: Path | str | None, schema: Schema) -> Lessons | None:
        """How a network of `base` is taught, where it learns to write. Default: None, where it
        learns the family's objective from the processor's arrays. Raises `InvalidData` for a base
        that cannot be taught it."""
        return None

    def rendered(
        self, base: Path, item: Item, target: str, settings: Mapping[str, Any]
    ) -> Sequence[tuple[str, bool]] | None:
        """The exact text that a network of `base` is taught of a row, in parts, and whether each is
        learnt or only read. Default: None, where no text is written."""
        return None

    def unfit(self, base: Path) -> str | None:
        """Why the network in the folder `base` is of the wrong kind for this task, in words; None
        where it may learn it."""
        return None

    @abstractmethod
    def encoder(self, base: Path) -> torch.nn.Module:
        """The frozen body: ``forward(**arrays)`` gives one float32 vector an item (batch, width);
        where the family answers `by_position`, one for each position (batch, positions, width).
        The attribute ``model`` is the transformers model inside."""

    def space(self) -> Mapping[str, Range]:
        """The settings of the task that a search tries where a network reads its inputs, with what
        they may be. Default: none."""
        return {}

    def disturbances(self) -> Mapping[str, Disturbance]:
        """Changes that leave the label as it is, by name: what robustness tries and augmentation
        learns from. A task that extends this offers its own; see `feilun.modalities.noise`."""
        return {}

    def pieces(self, item: Item) -> Pieces | None:
        """The parts that `item` is explained by, and the item without each; None where a task has
        no such parts."""
        return None

    def example_items(self) -> list[Item]:
        """The items of the inline examples."""
        return [example.item for example in self.examples]

    def shown_example(self, lang: Language) -> Item:
        """The inline example to show to a reader of `lang`: the first text in that language, else
        the first."""
        items = self.example_items()
        for item in items:
            values = item.values() if isinstance(item, Mapping) else (item,)
            text = "".join(value for value in values if isinstance(value, str))
            if text and any("\u4e00" <= c <= "\u9fff" for c in text) == (lang == "zh"):
                return item
        return items[0]


def fit_features(features: Features, items: Sequence[Item]) -> Features:
    """`features` fitted to `items`, where there is anything to fit."""
    return cast(Fitted, features).fit(items) if hasattr(features, "fit") else features

"""Predicts texts: learns a language, or a company's own way of writing, from documents alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.likelihood import ITSELF, LIKELIHOOD
from feilun.modalities import recognise
from feilun.modalities.language import models
from feilun.modalities.text import documents, networks, ngrams, tokens
from feilun.tasks.base import Column, Features, Processor, RowReader, TaskBase, TaskSettings
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task"]

_CONTINUATION = ("continuation", "completion", "response", "续写", "下文", "续文")
_LONGEST = 1024  # tokens of a text that a model reads


class Settings(TaskSettings):
    """The ``[task]`` table of a language model's project."""

    objective: documents.Objective = Field(
        "causal",
        description="what is learnt: causal (each token from those before it, as GPT and Llama),"
        " masked (hidden words, as BERT) or spans (hidden runs of words, as T5)",
    )
    languages: tuple[str, ...] = Field(
        (),
        description="documents of these languages alone are learnt (zh, en, ja, ko, ru, ar, other),"
        " told by their script, English by its most frequent words too; empty: of all",
    )
    min_characters: int = Field(
        16, ge=1, description="documents that are shorter are left out, in characters"
    )
    max_repeated_lines: float = Field(
        0.3,
        ge=0,
        le=1,
        description="documents are left out of which more than this share of characters stands in"
        " lines that came before",
    )
    max_repeated_runs: float = Field(
        0.5,
        ge=0,
        le=1,
        description="documents are left out of which more than this share of all runs of ten"
        " characters repeats another",
    )
    min_letters: float = Field(
        0.5,
        ge=0,
        le=1,
        description="documents are left out of which less than this share of the characters, spaces"
        " apart, are letters: signs, digits, leftovers of programs",
    )
    feature_bits: int = Field(
        18,
        ge=10,
        le=24,
        description="drift and review hash n-grams into 2 to this power columns",
    )


class Task(TaskBase):
    """Predicts texts: a language model of one's own, from documents alone.

    The input is a text; the answer is how it goes on (or what its masked words are) and how well
    it was predicted, in bits per byte. Text files and folders of them, JSON Lines, Parquet, dumps
    of a wiki and a table's column of texts are corpora. Documents that are nearly the same are
    learnt once.
    """

    summary = "tasks.language_model"
    Settings = Settings
    family = LIKELIHOOD
    undivided = True
    prose = self_supervised = lean = True
    begins = "scratch:auto"
    scratches = (begins,)
    columns = (Column("text", "text", recognise.TEXT),)
    label_aliases = _CONTINUATION
    examples = (
        Example("1", "Green tea is made from leaves that have not been oxidised.", ITSELF),
        Example("2", "The kettle stands on", "the stove."),
        Example("3", "绿茶是用没有经过发酵的茶叶制成的。", ITSELF),
    )

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._settings = Settings()

    def bound(self, settings: Mapping[str, Any]) -> Self:
        """This task with the rules by which documents are left out."""
        own = {key: settings[key] for key in Settings.model_fields if key in settings}
        made = type(self)(self.name)
        made._settings = Settings(**own)
        unknown = sorted(set(made._settings.languages) - {*documents.LANGUAGES, "other"})
        if unknown:
            options = (*documents.LANGUAGES, "other")
            raise InvalidData("likelihood.unknown_language", given=unknown, options=options)
        return made

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """The column of texts is found by its usual names, else as the longest texts. What should
        follow a text may stand in a column of its own; else the texts are their own targets."""
        rest = [one for one in columns if recognise.named([one], _CONTINUATION) is None]
        found = recognise.roles(rest or columns, self.columns[0], ())
        label = recognise.named(columns, _CONTINUATION) or found.inputs["text"]
        return Roles(found.inputs, label, id=found.id, group=found.group, subject=found.subject)

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """A long text is several documents; one that breaks a rule is left out under its name."""

        def rows(
            item: Any, raw: Any, values: Mapping[str, Any]
        ) -> Sequence[tuple[Item, Any]] | str:
            if not isinstance(item, str) or not item.strip():
                return [(item, ITSELF)]
            if isinstance(raw, str) and raw.strip() and raw != item:
                return [(item, raw)]
            return self._faulty(item) or [(one, ITSELF) for one in documents.parted(item)]

        return rows

    def _faulty(self, text: str) -> str | None:
        """The sentence for the first rule that a document breaks."""
        rules = self._settings
        if len(text.strip()) < rules.min_characters:
            return "likelihood.short"
        if rules.languages and documents.script(text) not in rules.languages:
            return "likelihood.other_language"
        if documents.letters(text) < rules.min_letters:
            return "likelihood.signs"
        if documents.repeated_lines(text) > rules.max_repeated_lines:
            return "likelihood.repeated_lines"
        if documents.repeated_grams(text) > rules.max_repeated_runs:
            return "likelihood.repeated_runs"
        return None

    def check(self, item: Item) -> Item:
        """The text of `item`; see `tokens.check`."""
        return tokens.check(item, self.columns[0].name)

    def input_schema(self) -> dict[str, Any]:
        """A string, or an object with the one column."""
        return tokens.input_schema(self.columns[0].name)

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The tokenizer of `folder`."""
        return tokens.TextProcessor.read(folder, _LONGEST)

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """Hashed counts of character and word n-grams, by which documents are compared."""
        return ngrams.NGrams(cast(int, settings.get("feature_bits", Settings().feature_bits)))

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """No head answers documents: `feilun.training.methods.pretrain` learns them."""
        raise InvalidData("tasks.no_language_model", task=self.name)

    def unfit(self, base: Path) -> str | None:
        """An architecture of another objective."""
        return models.unfit(base, self._settings.objective)

    def encoder(self, base: Path) -> torch.nn.Module:
        """The mean over the tokens that are not padding."""
        return networks.encoder(base)

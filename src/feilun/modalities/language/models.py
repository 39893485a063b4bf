"""Language models of all three objectives: the network, its tokenizer, and what it knows by id."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.errors import InvalidData
from feilun.messages import t
from feilun.modalities import checkpoints
from feilun.modalities.text.documents import Objective
from feilun.modalities.text.tokens import TextProcessor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Marks", "auto_class", "corrupted", "read_marks", "ready", "unfit"]

_SENTINELS = 100  # as T5 has them
_HEADS = {
    "causal": ("ForCausalLM", "LMHeadModel"),
    "masked": ("ForMaskedLM", "ForPreTraining"),
    "spans": ("ForConditionalGeneration",),
}
_SEQ2SEQ = frozenset({"t5", "mt5", "umt5", "longt5"})
_ENDS = ("<|endoftext|>", "</s>", "[CLS]", "<s>")


@dataclass(frozen=True, slots=True)
class Marks:
    """Ids of the tokens that a model knows by their meaning: `begin` stands before a document,
    `end` after the last one, `mask` for what is hidden, `pad` for nothing; `sentinels` for hidden
    spans, in their order. `specials` are never hidden."""

    begin: int
    end: int
    pad: int
    mask: int = -1
    sentinels: tuple[int, ...] = ()
    specials: frozenset[int] = frozenset()


def auto_class(objective: Objective) -> Any:
    """The class of transformers that reads such a network from a folder."""
    import transformers

    names = {
        "causal": "AutoModelForCausalLM",
        "masked": "AutoModelForMaskedLM",
        "spans": "AutoModelForSeq2SeqLM",
    }
    return getattr(transformers, names[objective])


def unfit(base: Path, objective: Objective) -> str | None:
    """Why the network in `base` cannot learn `objective`, in words. An encoder without a head for
    words gets a new one."""
    try:
        config = json.loads((base / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None  # said by whoever opens it
    kind = str(config.get("model_type"))
    names = [str(one) for one in config.get("architectures") or ()]
    if objective == "spans":
        fits = kind in _SEQ2SEQ
    elif objective == "causal":
        fits = any(one.endswith(_HEADS["causal"]) for one in names)
    else:
        others = _HEADS["causal"] + _HEADS["spans"]
        fits = not any(one.endswith(others) for one in names) and not config.get(
            "is_encoder_decoder"
        )
    shown = ", ".join(names) or kind
    return None if fits else t("likelihood.unfit", kind=shown, objective=objective)


def ready(
    source: Path | str | None,
    objective: Objective,
    tokenizer: Tokenizer | None,
    fresh: Callable[[int, int, int], Any],
) -> tuple[Any, Tokenizer]:
    """The network to train and its tokenizer: those of the folder `source`, or a new network of
    the configuration that `fresh` makes for `tokenizer`'s vocabulary, end and padding."""
    if isinstance(source, Path):
        tokenizer = TextProcessor.read(source, 1_000_000).tokenizer
        tokenizer.no_truncation()
        model: Any = checkpoints.read(auto_class(objective), source)
        return model.train(), tokenizer
    assert tokenizer is not None
    tokenizer.no_truncation()
    if objective == "spans" and tokenizer.token_to_id("<extra_id_0>") is None:
        tokenizer.add_special_tokens([f"<extra_id_{place}>" for place in range(_SENTINELS)])
    size = tokenizer.get_vocab_size()
    end = _first(tokenizer, _ENDS)
    pad = _first(tokenizer, ("<|pad|>", "[PAD]", "<pad>", *_ENDS))
    if end is None or pad is None:
        raise InvalidData("likelihood.no_end", options=_ENDS)
    if objective == "masked":
        from tokenizers import processors

        # The first token of a text stands for all of it, also where it is classified later.
        token = tokenizer.id_to_token(end)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, end)]
        )
    elif objective == "spans":
        from tokenizers import processors

        token = tokenizer.id_to_token(end)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {token}", pair=f"$A {token} $B {token}", special_tokens=[(token, end)]
        )
    return auto_class(objective).from_config(fresh(size, end, pad)), tokenizer


def read_marks(tokenizer: Tokenizer, config: Any, objective: Objective) -> Marks:
    """The `Marks` of a network and its tokenizer. Raises `InvalidData` where one that is needed is
    missing."""
    added = tokenizer.get_added_tokens_decoder()
    specials = frozenset(number for number, one in added.items() if one.special)
    named = getattr(config, "eos_token_id", None)
    end = named[0] if isinstance(named, list) else named
    end = _first(tokenizer, _ENDS) if end is None else end
    begin: int | None = end
    if objective == "masked":
        begin = _first(tokenizer, ("[CLS]", "<s>"))
    pad = getattr(config, "pad_token_id", None)
    if end is None:
        raise InvalidData("likelihood.no_end", options=_ENDS)
    mask = _first(tokenizer, ("<|mask|>", "[MASK]", "<mask>"))
    sentinels = [tokenizer.token_to_id(f"<extra_id_{place}>") for place in range(_SENTINELS)]
    found = tuple(one for one in sentinels if one is not None)
    if objective == "masked" and mask is None:
        raise InvalidData("likelihood.no_mask")
    if objective == "spans" and not found:
        raise InvalidData("likelihood.no_sentinels")
    pad = end if pad is None else pad
    begin = end if begin is None else begin
    return Marks(begin, end, pad, -1 if mask is None else mask, found, specials)


def corrupted(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], marks: Marks
) -> tuple[list[int], list[int]]:
    """`ids` with a sentinel for each of `spans`, and the spans after their sentinels (Raffel et
    al., 2020); both with the end of a text."""
    read: list[int] = []
    written: list[int] = []
    place = 0
    for sentinel, (begin, end) in zip(marks.sentinels, spans, strict=False):
        read += [*ids[place:begin], sentinel]
        written += [sentinel, *ids[begin:end]]
        place = end
    return [*read, *ids[place:], marks.end], [*written, marks.end]


def _first(tokenizer: Tokenizer, tokens: tuple[str, ...]) -> int | None:
    found = (tokenizer.token_to_id(one) for one in tokens)
    return next((one for one in found if one is not None), None)

"""Virtual tokens: tokens without a text that stand in every input, and whose vectors are learnt.

They are tokens of the model's own tokenizer and rows of its own table, so that whatever reads the
model reads them: torch, OpenVINO, a GGUF file. Encoders and pairs of encoder and decoder get them
from the tokenizer (its post-processor), causal models from the chat template. Without torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.modalities.language.template import CHATML, FILE, read_template

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["add", "ids_of"]

_NAME = "<|virtual_{}|>"
_KNOWN = re.compile(r"<\|virtual_\d+\|>")
_GROUP = "<|virtual|>"


def ids_of(tokenizer: Tokenizer) -> list[int]:
    """The ids of the virtual tokens of `tokenizer`, in their order."""
    added = tokenizer.get_added_tokens_decoder()
    return sorted(number for number, one in added.items() if _KNOWN.fullmatch(one.content))


def add(tokenizer: Tokenizer, folder: Path, count: int, source: Path, *, template: bool) -> None:
    """Writes into `folder` the tokenizer with `count` virtual tokens more, before every text; with
    `template` before every conversation, in the chat template of `source`."""
    from tokenizers import AddedToken

    names = [_NAME.format(number) for number in range(count)]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    described = json.loads(tokenizer.to_str())
    if template:
        known = read_template(source)
        text = "".join(names) + (known.source if known else CHATML)
        (folder / FILE).write_text(text, "utf-8")
    else:
        ids = ids_of(tokenizer)
        described["post_processor"] = _before(described.get("post_processor"), ids, names)
    text = json.dumps(described, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, "utf-8")


def _before(processor: Any, ids: Sequence[int], names: Sequence[str]) -> Any:
    """The description of a post-processor that puts these tokens before the first text, behind
    what stands there already."""
    kind = (processor or {}).get("type")
    if kind == "Sequence":
        steps = list(processor["processors"])
        places = [n for n, one in enumerate(steps) if one["type"] != "ByteLevel"]
        if places:
            steps[places[0]] = _before(steps[places[0]], ids, names)
        else:
            steps.append(_before(None, ids, names))
        return {**processor, "processors": steps}
    if kind == "ByteLevel":
        return {"type": "Sequence", "processors": [processor, _before(None, ids, names)]}
    found = _templated(processor)
    piece = {"SpecialToken": {"id": _GROUP, "type_id": 0}}
    for form in ("single", "pair"):
        first = next(n for n, one in enumerate(found[form]) if "Sequence" in one)
        found[form].insert(first, piece)
    found["special_tokens"][_GROUP] = {"id": _GROUP, "ids": list(ids), "tokens": list(names)}
    return found


def _templated(processor: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same post-processor as a ``TemplateProcessing``."""
    if processor is not None and processor["type"] == "TemplateProcessing":
        copied: dict[str, Any] = json.loads(json.dumps(processor))
        return copied
    a, b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    if processor is None:
        second = {"Sequence": {"id": "B", "type_id": 1}}
        forms = {"single": [a], "pair": [a, second]}
        return {"type": "TemplateProcessing", **forms, "special_tokens": {}}
    (end, end_id), (begin, begin_id) = processor["sep"], processor["cls"]
    marks = {
        token: {"id": token, "ids": [number], "tokens": [token]}
        for token, number in ((end, end_id), (begin, begin_id))
    }

    def mark(token: str, kind: int = 0) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": kind}}

    if processor["type"] == "RobertaProcessing":  # two ends between, no types
        pair = [mark(begin), a, mark(end), mark(end), b, mark(end)]
    else:
        second = {"Sequence": {"id": "B", "type_id": 1}}
        pair = [mark(begin), a, mark(end), second, mark(end, 1)]
    single = [mark(begin), a, mark(end)]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": marks}

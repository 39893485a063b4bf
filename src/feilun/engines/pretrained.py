"""A pre-trained language model as training left it, in torch. Needs the extra `train`.

A causal one continues texts. A masked one fills the masks of a text, and one of spans writes what
stands in their place, or how the text goes on where it has none.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from feilun.engines._continuations import parted, predicted
from feilun.engines._streaming import StreamingEngine
from feilun.engines._turns import TURNS
from feilun.engines.card import Card
from feilun.engines.torch import set_threads
from feilun.families.likelihood import Read
from feilun.modalities import checkpoints
from feilun.modalities.language.models import auto_class, corrupted, read_marks
from feilun.modalities.text.documents import Objective, hidden
from feilun.modalities.text.tokens import TextProcessor
from feilun.types import EngineRequest, Item, Output

if TYPE_CHECKING:
    pass

__all__ = ["FORMATS", "PretrainedEngine", "load"]

FORMATS = ("language-model",)

_TEMPERATURE, _TOP_P = 0.7, 0.95  # how texts are continued where the caller does not say
_FILLS = 5
_ROWS = 16
_MASKS = ("<|mask|>", "[MASK]", "<mask>")

Scored = tuple[int, list[int], list[int]]
"""The place of an item, the ids that are read, and what is predicted at each; -100 for nothing."""


class PretrainedEngine(StreamingEngine):
    """Answers from a `language-model` version, one token at a time. Callers take turns."""

    name = "torch"
    OPTIONS: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p", "seed"})
    longest = 128

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        self._threads = set_threads(folder, card, threads)
        super().__init__(card)
        self._objective: Objective = card.extra["objective"]
        self._window = int(card.extra["context"])
        processor = TextProcessor.read(folder, 1_000_000)
        self._tokenizer = processor.tokenizer
        self._tokenizer.no_truncation()
        self._unknown = processor.unknown_id
        model: Any = checkpoints.read(auto_class(self._objective), folder)
        self._model: Any = model.requires_grad_(False)
        self._marks = read_marks(self._tokenizer, self._model.config, self._objective)
        self._pool = ThreadPoolExecutor(1, "feilun-write")
        TURNS.join(self, 1)

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "threads": self._threads}

    def close(self) -> None:
        super().close()
        self._pool.shutdown(wait=False)
        TURNS.forget(self)

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        """How well each text is predicted; how it goes on is not computed."""
        rows: list[Scored] = []
        sizes = np.zeros(len(items), np.int64)
        nats = np.zeros(len(items))
        for place, item in enumerate(items):
            found, sizes[place], nats[place] = self._asked_of(place, str(item))
            rows += found
        rows.sort(key=lambda row: -len(row[1]))
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            with TURNS.take(self):
                scored = self._scored(part)
            for (place, _, _), one in zip(part, scored, strict=True):
                nats[place] += one
        raw = np.empty(len(items), dtype=object)
        for place in range(len(items)):
            raw[place] = Read(float(nats[place]), int(sizes[place]))
        return raw

    def outputs(self, request: EngineRequest) -> list[Output]:
        raw = self.raw(request.items)
        for place, item in enumerate(request.items):
            limit = self._limit(request.options, self.asked(item))
            raw[place] = self._whole(raw[place], str(item), request.options, limit)
        return self._decode(raw, request.all_scores)

    async def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        run = asyncio.get_running_loop().run_in_executor  # beside the event loop
        text, read = str(item), (await run(self._pool, self.raw, [item]))[0]
        if self._objective == "causal":
            written, pieces = "", self._pieces(text, options)
            while (piece := await run(self._pool, next, pieces, None)) is not None:
                written += piece
                yield piece
            read = read._replace(text=written)
        else:
            read = await run(self._pool, self._whole, read, text, options, self.longest)
            if read.text:
                yield read.text
        raw = np.empty(1, dtype=object)
        raw[0] = read
        yield self._decode(raw, True)[0]

    @property
    def continued(self) -> Callable[[str, str], tuple[float, bool]] | None:
        """See `_continuations`; None for what does not predict the next token."""
        return self._continued if self._objective == "causal" else None

    def _continued(self, context: str, text: str) -> tuple[float, bool]:
        read, wanted = parted(self._ids, context, text, self._marks.begin)
        with TURNS.take(self):
            return predicted(self._model, read, wanted, self._window)

    def count(self, text: str) -> int:
        return max(1, len(self._ids(text)))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _whole(self, read: Read, text: str, options: Mapping[str, Any], limit: int) -> Read:
        if self._objective == "masked":
            return self._filled(read, text)
        if self._objective == "spans":
            return read._replace(text=self._spanned(text))
        written = ""
        for count, piece in enumerate(self._pieces(text, options), 1):
            written += piece
            if count == limit:
                break
        return read._replace(text=written)

    # How well a text is predicted.

    def _asked_of(self, place: int, text: str) -> tuple[list[Scored], int, float]:
        """The rows that score a text, the bytes that are predicted, and what tokens that the model
        does not know cost: 8 bits a byte, because they stand for any."""
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        ids = list(encoded.ids)
        spans = hidden(text, self._objective)
        size = sum(len(text[a:b].encode("utf-8", "replace")) for a, b in spans)
        unknown = 0.0
        wanted = [any(a < end and begin < b for a, b in spans) for begin, end in encoded.offsets]
        for number, (begin, end), is_wanted in zip(ids, encoded.offsets, wanted, strict=True):
            if number == self._unknown and is_wanted:
                unknown += len(text[begin:end].encode("utf-8", "replace")) * math.log(256)
        if self._objective == "causal":
            return self._causal_rows(place, ids), size, unknown
        rows: list[Scored] = []
        room = self._window - 1
        for start in range(0, len(ids), room):
            part, flags = ids[start : start + room], wanted[start : start + room]
            if self._objective == "masked":
                read = [self._marks.mask if flag else one for one, flag in zip(part, flags)]  # noqa: B905
                targets = [one if flag else -100 for one, flag in zip(part, flags)]  # noqa: B905
                rows.append((place, [self._marks.begin, *read], [-100, *targets]))
            elif any(flags):
                runs = _runs(flags)[: len(self._marks.sentinels)]
                rows.append((place, *corrupted(part, runs, self._marks)))
        return rows, size, unknown

    def _causal_rows(self, place: int, ids: list[int]) -> list[Scored]:
        """Windows over a document; beyond the first each sees half a window of what was before."""
        whole = [self._marks.begin, *ids, self._marks.end]
        rows: list[Scored] = []
        step = max(1, self._window // 2)
        done = 0  # targets that are scored already
        begin = 0
        while done < len(whole) - 1:
            read = whole[begin : begin + self._window]
            targets = whole[begin + 1 : begin + self._window + 1]
            read = read[: len(targets)]
            rows.append((place, read, [-100] * (done - begin) + targets[done - begin :]))
            done = begin + len(targets)
            begin = done - step
        return rows

    def _scored(self, rows: Sequence[Scored]) -> list[float]:
        """The negative log likelihood of what is predicted in each row, in nats."""
        import torch

        ids, mask = _padded([read for _, read, _ in rows], self._marks.pad)
        targets, _ = _padded([wanted for _, _, wanted in rows], -100)
        more: dict[str, Any] = {}
        if self._objective == "spans":
            begun = np.where(targets == -100, self._marks.pad, targets)
            start = np.full((len(rows), 1), self._marks.pad, np.int64)
            begun = np.concatenate([start, begun[:, :-1]], axis=1)
            more = {"decoder_input_ids": torch.from_numpy(begun)}
        with torch.inference_mode():
            logits = self._model(
                input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), **more
            ).logits
            wanted = torch.from_numpy(targets)
            each = torch.nn.functional.cross_entropy(
                logits.float().transpose(1, 2), wanted, reduction="none", ignore_index=-100
            )
            if self._unknown is not None:
                each = each * (wanted != self._unknown)
        return [float(one) for one in each.sum(dim=1)]

    # How a text goes on.

    def _pieces(self, text: str, options: Mapping[str, Any]) -> Iterator[str]:
        """The text of each token; of one that ends within a character nothing yet."""
        import torch
        from tokenizers.decoders import DecodeStream

        lots = np.random.default_rng(int(options.get("seed") or 0) % 2**63)
        heat, share = options.get("temperature"), options.get("top_p")
        heat = _TEMPERATURE if heat is None else float(heat)
        share = _TOP_P if share is None else float(share)
        given = [self._marks.begin, *self._ids(text)][-max(1, self._window - self.longest) :]
        stream = DecodeStream(skip_special_tokens=True)
        cache: Any = None
        for _ in range(self.longest):
            with TURNS.take(self), torch.inference_mode():
                found = self._model(
                    input_ids=torch.tensor([given]),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                logits = found.logits[0, -1].float().numpy()
                cache = found.past_key_values
            token = _drawn(logits, heat, share, lots)
            if token == self._marks.end:
                return
            yield stream.step(self._tokenizer, token) or ""
            given = [token]

    def _filled(self, read: Read, text: str) -> Read:
        """The likeliest words for each mask, as transformers' fill-mask pipeline has them."""
        import torch

        for mark in _MASKS:
            text = text.replace(mark, str(self._tokenizer.id_to_token(self._marks.mask)))
        ids = [self._marks.begin, *self._ids(text)][: self._window]
        places = [place for place, one in enumerate(ids) if one == self._marks.mask]
        if not places:
            return read
        with TURNS.take(self), torch.inference_mode():
            logits = self._model(input_ids=torch.tensor([ids])).logits[0, places].float()
            logits[:, sorted(self._marks.specials)] = -torch.inf
            chances, tokens = torch.softmax(logits, dim=-1).topk(_FILLS)
        best = list(ids)
        for place, token in zip(places, tokens[:, 0].tolist(), strict=True):
            best[place] = token
        fills = tuple(
            tuple(
                {
                    "score": round(chance, 6),
                    "token": token,
                    "token_str": self._tokenizer.decode([token]),
                    "sequence": self._text([*ids[:place], token, *ids[place + 1 :]]),
                }
                for chance, token in zip(chances[n].tolist(), tokens[n].tolist(), strict=True)
            )
            for n, place in enumerate(places)
        )
        return read._replace(text=self._text(best), fills=fills)

    def _spanned(self, text: str) -> str:
        """The text with what stands in the place of its masks; without masks how it goes on."""
        import torch
        from transformers import GenerationConfig

        for mark in _MASKS:
            text = text.replace(mark, "\0")
        parts = text.split("\0")[: len(self._marks.sentinels)]
        goes_on = len(parts) == 1
        read: list[int] = []
        for number, part in enumerate(parts):
            read += self._ids(part)
            if number < len(parts) - 1 or goes_on:
                read.append(self._marks.sentinels[number])
        read = [*read[: self._window - 1], self._marks.end]
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.longest,
            eos_token_id=self._marks.end,
            pad_token_id=self._marks.pad,
            decoder_start_token_id=self._marks.pad,
        )
        with TURNS.take(self), torch.inference_mode():
            found = self._model.generate(
                torch.tensor([read]),
                attention_mask=torch.ones(1, len(read), dtype=torch.int64),
                generation_config=config,
            )[0].tolist()
        spans: dict[int, list[int]] = {}
        current: list[int] = []
        for token in found[1:]:
            if token in self._marks.sentinels:
                current = spans.setdefault(self._marks.sentinels.index(token), [])
            elif token not in self._marks.specials:
                current.append(token)
        said = [self._tokenizer.decode(spans.get(n, [])) for n in range(max(1, len(parts) - 1))]
        if goes_on:
            return said[0]
        return "".join(part + one for part, one in zip(parts, [*said, ""], strict=True))

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> PretrainedEngine:
    """Loads the version in float32. torch shares one set of threads among all its callers, so that
    one token is computed at a time, and `threads` holds for the whole process."""
    return PretrainedEngine(folder, card, threads)


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """First place and end of each run of true ones."""
    edges = np.flatnonzero(np.diff(np.array([False, *flags, False], np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2).tolist()]


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask


def _drawn(logits: np.ndarray, heat: float, share: float, lots: np.random.Generator) -> int:
    """The likeliest token without heat, else one drawn of the likeliest that make up `share`."""
    if heat <= 0:
        return int(logits.argmax())
    chances = np.exp((logits - logits.max()).astype(np.float64) / heat)
    order = np.argsort(-chances, kind="stable")
    ranked = chances[order] / chances.sum()
    kept = int(np.searchsorted(np.cumsum(ranked), share)) + 1
    weights = ranked[:kept] / ranked[:kept].sum()
    return int(order[lots.choice(len(weights), p=weights)])

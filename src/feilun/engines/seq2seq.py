"""An encoder with a decoder (T5, BART, Marian) as training left it, in torch. Needs the extra
`train`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from feilun.engines._streaming import MAX_TOKENS, StreamingEngine
from feilun.engines._turns import TURNS
from feilun.engines.batching import plan
from feilun.engines.card import Card
from feilun.engines.causal import chooser
from feilun.engines.torch import set_threads
from feilun.families.generation import Written, objects
from feilun.modalities.language.seq2seq import PairProcessor
from feilun.types import Item, Output

if TYPE_CHECKING:
    import torch

__all__ = ["FORMATS", "Seq2SeqEngine", "load"]

FORMATS = ("seq2seq",)
_ROWS = 16  # that are written at once, each as long as the longest


class Seq2SeqEngine(StreamingEngine):
    """Writes the most probable tokens, or draws them where a ``temperature`` is asked for; how sure
    it is of an answer is the geometric mean of its tokens' probabilities. Callers take turns token
    by token. A text is read up to ``max_length`` tokens."""

    name = "torch"
    OPTIONS: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p", "seed"})

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        self._threads = set_threads(folder, card, threads)
        super().__init__(card)
        processor = self._task.processor(folder, card.schema.settings)
        assert isinstance(processor, PairProcessor)
        self._processor = processor
        model: Any = self._task.load(folder, card.schema)
        self._model: Any = model.model.requires_grad_(False)
        self.longest = int(card.extra.get("longest", MAX_TOKENS))
        self._pool = ThreadPoolExecutor(1, "feilun-write")
        TURNS.join(self, 1)

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "threads": self._threads, "costly": True}

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        encoded = self._processor.encode(items)
        found: list[Written] = [Written("")] * len(items)
        for batch in plan([one.cost for one in encoded]):
            for start in range(0, len(batch), _ROWS):
                part = batch[start : start + _ROWS]
                with TURNS.take(self):
                    written = self._greedy([encoded[place] for place in part], self.longest)
                for place, (ids, sure) in zip(part, written, strict=True):
                    found[place] = self._answer_of(items[place], ids, sure)
        return objects(found)

    async def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        from tokenizers.decoders import DecodeStream

        loop = asyncio.get_running_loop()
        choose = chooser(options)
        state = await loop.run_in_executor(self._pool, self._read, item)
        stream, ids, logs = DecodeStream(skip_special_tokens=True), [], 0.0
        given, begun = self._processor.begin, False
        for _ in range(self.longest):
            token, log = await loop.run_in_executor(self._pool, self._step, state, given, choose)
            logs += log
            if token == self._processor.end:
                break
            ids.append(token)
            piece = stream.step(self._processor.tokenizer, token) or ""
            piece = piece if begun else piece.lstrip()
            begun = begun or bool(piece)
            yield piece
            given = token
        sure = float(np.exp(logs / (len(ids) + 1)))
        yield self._decode(objects([self._answer_of(item, ids, sure)]), True)[0]

    def count(self, text: str) -> int:
        return len(self._processor.tokenizer.encode(text, add_special_tokens=False).ids)

    def asked(self, item: Item) -> int:
        return self._processor.encode([item])[0].cost

    def warm_up(self) -> None:
        self._greedy(self._processor.encode(self._task.example_items()[:1]), 2)

    def close(self) -> None:
        super().close()
        self._pool.shutdown(wait=False)
        TURNS.forget(self)

    def _answer_of(self, item: Item, ids: Sequence[int], sure: float) -> Written:
        text: str = self._processor.tokenizer.decode(list(ids), skip_special_tokens=True)
        otherwise = self._task.unanswered(item, self.card.schema.settings)
        return Written(text.strip(), min(1.0, sure), otherwise)

    def _greedy(self, batch: Sequence[Any], most: int) -> list[tuple[list[int], float]]:
        """The tokens of each answer without its end, and how sure they are."""
        import torch
        from transformers import GenerationConfig

        arrays = self._processor.collate(batch)
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=most,
            decoder_start_token_id=self._processor.begin,
            eos_token_id=self._processor.end,
            pad_token_id=self._processor.pad_id,
            return_dict_in_generate=True,
            output_logits=True,
        )
        with torch.inference_mode():
            made = self._model.generate(
                torch.from_numpy(arrays["input_ids"]),
                attention_mask=torch.from_numpy(arrays["attention_mask"]),
                generation_config=config,
            )
            logs = torch.stack(
                [torch.log_softmax(one.float(), dim=-1).amax(dim=-1) for one in made.logits], dim=1
            ).numpy()
        found = []
        for row, ids in enumerate(made.sequences[:, 1:].tolist()):
            ends = [place for place, one in enumerate(ids) if one == self._processor.end]
            end = ends[0] if ends else len(ids)
            found.append((ids[:end], float(np.exp(logs[row, : end + 1].mean()))))
        return found

    def _read(self, item: Item) -> dict[str, Any]:
        """What the encoder makes of a text, and an empty cache."""
        import torch

        arrays = self._processor.collate(self._processor.encode([item]))
        mask = torch.from_numpy(arrays["attention_mask"])
        with TURNS.take(self), torch.inference_mode():
            read = self._model.get_encoder()(
                input_ids=torch.from_numpy(arrays["input_ids"]), attention_mask=mask
            )
        return {"encoder_outputs": read, "attention_mask": mask, "past_key_values": None}

    def _step(
        self, state: dict[str, Any], given: int, choose: Callable[[torch.Tensor], int]
    ) -> tuple[int, float]:
        """The next token and its log-probability in nats."""
        import torch

        with TURNS.take(self), torch.inference_mode():
            found = self._model(**state, decoder_input_ids=torch.tensor([[given]]), use_cache=True)
            state["past_key_values"] = found.past_key_values
            logits = found.logits[0, -1].float()
            token = choose(logits)
            return token, float(torch.log_softmax(logits, dim=-1)[token])


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> Seq2SeqEngine:
    """Loads the version in float32. torch shares one set of threads among all its callers, so that
    one token is computed at a time, and `threads` holds for the whole process."""
    return Seq2SeqEngine(folder, card, threads)

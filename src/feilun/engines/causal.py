"""A causal language model as training left it, in torch. Needs the extra `train`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from feilun.engines._continuations import parted, predicted
from feilun.engines._streaming import MAX_TOKENS, StreamingEngine
from feilun.engines._turns import TURNS
from feilun.engines.batching import plan
from feilun.engines.card import Card
from feilun.engines.torch import set_threads
from feilun.errors import InvalidData
from feilun.families.generation import Written, objects, sure_of
from feilun.modalities.language.causal import PromptProcessor
from feilun.types import Item, Output

if TYPE_CHECKING:
    import torch

__all__ = ["FORMATS", "CausalEngine", "chooser", "load"]

FORMATS = ("causal",)
_ROWS = 16  # that are written at once, each as long as the longest


class CausalEngine(StreamingEngine):
    """Writes the most probable tokens, or draws them where a ``temperature`` is asked for. Callers
    take turns token by token."""

    name = "torch"
    OPTIONS: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p", "seed"})
    context: int
    says_how_sure = False
    """See `GenaiEngine.says_how_sure`."""

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        self._threads = set_threads(folder, card, threads)
        super().__init__(card)
        processor = self._task.processor(folder, card.schema.settings)
        assert isinstance(processor, PromptProcessor)
        self._processor = processor
        model: Any = self._task.load(folder, card.schema)
        self._model: Any = model.model.requires_grad_(False)
        self.longest = int(card.extra.get("longest", MAX_TOKENS))
        end = processor.tokenizer.token_to_id(processor.end)
        self._stops = frozenset(card.extra.get("stops", (end,)))
        self.context = int(self._model.config.max_position_embeddings)
        self._pool = ThreadPoolExecutor(1, "feilun-write")
        TURNS.join(self, 1)

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "threads": self._threads, "costly": True}

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        encoded = self._processor.encode(items)
        found: list[Written] = [Written("")] * len(items)
        # What is too long to be answered is answered with nothing.
        fit = [place for place, one in enumerate(encoded) if one.cost < self.context]
        for batch in plan([encoded[place].cost for place in fit]):
            for start in range(0, len(batch), _ROWS):
                part = [fit[place] for place in batch[start : start + _ROWS]]
                with TURNS.take(self):
                    written = self._greedy([encoded[place].arrays["input_ids"] for place in part])
                for place, one in zip(part, written, strict=True):
                    found[place] = one
        return objects(found)

    async def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        loop = asyncio.get_running_loop()
        begun = False
        text, logs = "", [0.0][:0]
        async with aclosing(self._tokens(item, options, loop, logs)) as pieces:
            async for piece in pieces:
                given = piece if begun else piece.lstrip()
                begun = begun or bool(given)
                text += given
                yield given
        sure = sure_of(logs) if self.says_how_sure else None
        yield self._decode(objects([Written(text, sure)]), True)[0]

    def count(self, text: str) -> int:
        return len(self._processor.ids(text))

    def asked(self, item: Item) -> int:
        return self._processor.encode([item])[0].cost

    def likelihood(self, item: Item, answer: str) -> tuple[float, int]:
        """The log-probability in nats of `answer` to `item`, with its end; and its tokens."""
        import torch

        text = self._processor.lesson(self._processor.messages(item), answer)
        read, learnt = self._processor.ids(text.prompt), self._processor.ids(text.answer)
        with torch.inference_mode():
            ids = torch.tensor([[*read, *learnt]])
            logits = self._model(input_ids=ids, use_cache=False).logits[0, len(read) - 1 : -1]
            each = torch.nn.functional.cross_entropy(
                logits.float(), ids[0, len(read) :], reduction="sum"
            )
        return -float(each), len(learnt)

    def continued(self, context: str, text: str) -> tuple[float, bool]:
        """See `_continuations`; no template is around them."""
        begin = int(self._processor.tokenizer.token_to_id(self._processor.end) or 0)
        read, wanted = parted(self._processor.ids, context, text, begin)
        with TURNS.take(self):
            return predicted(self._model, read, wanted, self.context)

    def warm_up(self) -> None:
        self._greedy([self._processor.encode(self._task.example_items())[0].arrays["input_ids"]], 2)

    def close(self) -> None:
        super().close()
        self._pool.shutdown(wait=False)
        TURNS.forget(self)

    def _greedy(self, prompts: Sequence[np.ndarray], most: int | None = None) -> list[Written]:
        import torch
        from transformers import GenerationConfig

        longest = max(map(len, prompts))
        ids = np.full((len(prompts), longest), self._processor.pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = prompt
            mask[row, longest - len(prompt) :] = 1
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=min(most or self.longest, self.context - longest),
            eos_token_id=sorted(self._stops),
            pad_token_id=self._processor.pad_id,
            return_dict_in_generate=True,
            output_logits=self.says_how_sure,
        )
        with torch.inference_mode():
            made = self._model.generate(
                torch.from_numpy(ids),
                attention_mask=torch.from_numpy(mask),
                generation_config=config,
            )
            found = made.sequences[:, longest:]
            if not self.says_how_sure:
                return [Written(self._text(row)) for row in found.tolist()]
            # Step by step: the logits of all tokens together are large.
            logs = torch.stack(
                [
                    torch.log_softmax(logits.float(), dim=-1).gather(1, chosen[:, None])[:, 0]
                    for logits, chosen in zip(made.logits, found.T, strict=True)
                ],
                dim=1,
            ).tolist()
        return [
            Written(self._text(row), sure_of(log[: self._end(row) + 1]))
            for row, log in zip(found.tolist(), logs, strict=True)
        ]

    def _end(self, ids: Sequence[int]) -> int:
        """The place of the token that stops."""
        return next((place for place, one in enumerate(ids) if one in self._stops), len(ids))

    def _text(self, ids: Sequence[int]) -> str:
        end = self._end(ids)
        text: str = self._processor.tokenizer.decode(ids[:end], skip_special_tokens=True)
        return text.strip()

    async def _tokens(
        self,
        item: Item,
        options: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop,
        logs: list[float],
    ) -> AsyncGenerator[str]:
        """The text of each token; of one that ends within a character nothing yet. Their
        log-probabilities are added to `logs`, that of the token that stops, too."""
        from tokenizers.decoders import DecodeStream

        (encoded,) = self._processor.encode([item])
        if encoded.cost >= self.context:
            raise InvalidData(
                "engines.prompt_too_long", tokens=encoded.cost, limit=self.context, param="messages"
            )
        choose = chooser(options)
        cache: Any = None
        given = encoded.arrays["input_ids"].tolist()
        stream = DecodeStream(skip_special_tokens=True)
        for _ in range(self.context - encoded.cost):
            token, log, cache = await loop.run_in_executor(
                self._pool, self._step, given, cache, choose
            )
            logs.append(log)
            if token in self._stops:
                return
            yield stream.step(self._processor.tokenizer, token) or ""
            given = [token]

    def _step(
        self, given: list[int], cache: Any, choose: Callable[[torch.Tensor], int]
    ) -> tuple[int, float, Any]:
        """The next token, its log-probability in nats where that is asked for, and the cache."""
        import torch

        with TURNS.take(self), torch.inference_mode():
            found = self._model(
                input_ids=torch.tensor([given]),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits = found.logits[0, -1].float()
            token, log = choose(logits), 0.0
            if self.says_how_sure:
                log = float(torch.log_softmax(logits, dim=-1)[token])
            return token, log, found.past_key_values


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> CausalEngine:
    """Loads the version in float32. torch shares one set of threads among all its callers, so that
    one token is computed at a time, and `threads` holds for the whole process."""
    return CausalEngine(folder, card, threads)


def chooser(options: Mapping[str, Any]) -> Callable[[torch.Tensor], int]:
    """What takes the next token from its logits: the most probable one, or one drawn by
    ``temperature``, ``top_p`` and ``seed``."""
    import torch

    heat = float(options.get("temperature") or 0.0)
    if heat <= 0:
        return lambda logits: int(logits.argmax())
    share = float(options.get("top_p") or 1.0)
    generator = torch.Generator()
    seed = options.get("seed")
    generator.manual_seed(int(seed) % 2**63) if seed is not None else generator.seed()

    def draw(logits: torch.Tensor) -> int:
        chances, order = torch.softmax(logits / heat, dim=-1).sort(descending=True)
        # The fewest tokens whose chances make up the share.
        kept = chances.cumsum(-1) - chances < share
        chosen = torch.multinomial(chances * kept, 1, generator=generator)
        return int(order[chosen])

    return draw

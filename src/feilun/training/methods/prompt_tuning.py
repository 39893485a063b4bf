"""The vectors of virtual tokens learn, which stand before every text, and nothing else (Lester and
others, 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning").

They begin as words of the training texts, and end as tokens of the version's own vocabulary: it is
a plain transformers folder, served and exported as all others. A prompt in words is `prompt`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from feilun.messages import t
from feilun.tasks.base import TaskBase
from feilun.training.adapters import AdapterMethod
from feilun.training.body import Body
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import TrainJob
from feilun.training.virtual_tokens import VirtualTokens, prepared

__all__ = ["Method", "Settings"]


class Settings(FineTuneSettings):
    """``[training.prompt-tuning]``."""

    virtual_tokens: int = Field(
        20, ge=1, le=512, description="tokens before every text whose vectors learn"
    )


class Method(AdapterMethod[Settings]):
    """A vector for each virtual token."""

    rate = 3e-2

    def supports(self, task: TaskBase, base: Path | str | None) -> str | None:
        """Networks that read tokens."""
        if any(one.kind == "image" for one in task.columns):
            return t("training.reason_no_tokens", task=task.name)
        return super().supports(task, base)

    def parameters(self, body: Body, settings: Settings) -> int:
        return settings.virtual_tokens * body.width

    def prepared(self, job: TrainJob, settings: Settings) -> TrainJob:
        return prepared(job, settings.virtual_tokens)

    def adaptation(self, job: TrainJob, settings: Settings) -> VirtualTokens:
        return VirtualTokens(job)

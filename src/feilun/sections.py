"""Tables of the project file that stand by themselves; `feilun.config` puts the file together."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from feilun.messages import t

__all__ = [
    "CostsConfig",
    "GuardConfig",
    "Percent",
    "Section",
    "Share",
    "TargetConfig",
    "UpstreamConfig",
]

Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[int, Field(ge=0, le=100)]


class Section(BaseModel):
    """A table of the project file: unknown keys are faults, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetConfig(Section):
    """``[evaluation.target]``: what good enough means, in the user's own terms. Rows that the model
    leaves to a person count neither as missed nor as false alarms."""

    label: str = Field(
        "", description="label that missed_at_most and false_alarms_at_most speak of"
    )
    missed_at_most: Share | None = Field(
        None, description="share of the label's rows that may be answered otherwise"
    )
    false_alarms_at_most: Share | None = Field(
        None, description="share of the other rows that may be answered with the label"
    )
    accuracy_at_least: Share | None = Field(
        None, description="share of the answers that must be right"
    )

    @model_validator(mode="after")
    def _names_its_label(self) -> Self:
        if not self.label and (self.missed_at_most, self.false_alarms_at_most) != (None, None):
            raise ValueError(t("config.rule_needs_label"))
        return self


class CostsConfig(Section):
    """``[evaluation.costs]``: what the two errors about a label cost, in any unit. The label is
    then answered from the probability on that costs least on the validation rows."""

    label: str = Field("", description="label that is looked for; empty: errors cost alike")
    missed: float = Field(1.0, gt=0, description="cost of a row of the label answered otherwise")
    false_alarm: float = Field(1.0, gt=0, description="cost of another row answered with it")


class GuardConfig(Section):
    """``[guard]``: what may be asked, and what may leave, where answers are texts."""

    deny: list[str] = Field(
        [],
        max_length=1000,
        description="texts that no question and no answer may have, whatever their case and width",
    )
    mask_personal: bool = Field(
        False, description="personal data in answers is replaced by its kind, such as [email]"
    )
    max_characters: int = Field(
        0, ge=0, description="characters that a question may have; 0 for as many as are read"
    )
    model: str = Field(
        "", description="endpoint of a text classifier that looks at questions and answers"
    )
    refuse: list[str] = Field([], description="labels of this classifier that are refused")


class UpstreamConfig(Section):
    """``[upstream]``: another server that answers until a version of one's own does."""

    learn: bool = Field(
        False,
        description="whether its answers may be learnt from: set it to true once you have read that"
        " your provider's terms allow it",
    )
    min_calls: int = Field(
        100, ge=10, description="kept calls with different questions that an update waits for"
    )
    steps: tuple[Percent, ...] = Field(
        (100,),
        min_length=1,
        description="percent of the calls that a version of your own gets, step by step; 0 for a"
        " shadow, which is compared and not heard",
    )
    audit: Share = Field(
        0.05,
        description="share of the sure calls that are passed on all the same: what it says of them"
        " judges your own versions",
    )
    price_in: float = Field(
        0.0, ge=0, description="what 1,000 tokens that it reads cost, in units of serving.currency"
    )
    price_out: float = Field(
        0.0, ge=0, description="what 1,000 tokens that it writes cost, in units of serving.currency"
    )

    @field_validator("steps")
    @classmethod
    def _rise(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)) or value[-1] != 100:
            raise ValueError(t("config.rule_steps"))
        return value

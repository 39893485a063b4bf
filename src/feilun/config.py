"""Settings from the environment and the project's file; the only reader of either.

`Settings` comes from ``FEILUN_*`` variables. `ProjectConfig` comes from ``NAME/feilun.toml``. The
file is input: the resolved copy kept in the catalog is what a run used. What belongs to a method
or a task alone (``[training.lora]``, ``[task]``) stays raw here and is checked by `feilun.project`
against the model that the method or task declares.
"""

from __future__ import annotations

import os
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from feilun.errors import InvalidSettings, NotFound
from feilun.faults import describe_faults
from feilun.messages import Language, t
from feilun.sections import (
    CostsConfig,
    GuardConfig,
    Section,
    Share,
    TargetConfig,
    UpstreamConfig,
)

__all__ = [
    "UPSTREAM_KEY",
    "CompressionConfig",
    "CostsConfig",
    "DataConfig",
    "EvaluationConfig",
    "FeedbackConfig",
    "GuardConfig",
    "ProjectConfig",
    "ProjectSection",
    "Section",
    "ServingConfig",
    "Settings",
    "TargetConfig",
    "TrainingConfig",
    "TuneConfig",
    "UpdateConfig",
    "UpstreamConfig",
    "check_project",
    "describe_faults",
    "load_project",
    "load_settings",
    "read_project",
]

UPSTREAM_KEY = "FEILUN_UPSTREAM_KEY"
"""The environment variable with the key of an upstream that names no other."""

_NAME_LENGTH = 63
"""Characters of a project's name: with three bytes each it still fits into a file's name."""


def _in_a_name(character: str) -> bool:
    """Whether it may stand in a project's name, which is a folder's name and a part of addresses:
    no capitals, which some file systems do not tell apart, and nothing that has two forms."""
    if character.isascii():
        return character in "-_" or character.isdigit() or character.islower()
    letter = unicodedata.category(character) in ("Ll", "Lo", "Lm", "Mn", "Mc")
    return (
        letter and character <= "\uffff" and unicodedata.normalize("NFKC", character) == character
    )


class ProjectSection(Section):
    """``[project]``: what the project is."""

    name: str = Field(description="name of the project: small letters of any script, digits, - _")
    task: str = Field(description="name of the task, such as text-classification")
    base: str | None = Field(
        None, description="base model: a starter's name, a folder, a hub id or modelscope:org/name"
    )
    own_base: bool = Field(
        True,
        description="whether a new project without a base begins from the best encoder that other "
        "projects of the workspace have learned, if it tells the targets apart better than the "
        "usual base",
    )

    @field_validator("name")
    @classmethod
    def _can_be_a_name(cls, value: str) -> str:
        name = unicodedata.normalize("NFC", value)
        fits = len(name) <= _NAME_LENGTH and all(map(_in_a_name, name))
        if not fits or not name or name[0] in "-_":
            raise ValueError(t("config.rule_name", most=_NAME_LENGTH))
        return name


class DataConfig(Section):
    """``[data]``: how rows are read and divided."""

    columns: dict[str, str] = Field(
        default_factory=dict, description="role = column; roles that are not named are guessed"
    )
    validation: Share = Field(0.1, description="share of new rows that choose between models")
    test: Share = Field(0.1, description="share of new rows that only judge; never trained on")
    seed: int = Field(0, description="seed of the division into splits")
    watch: tuple[str, ...] = Field(
        (),
        description="folders, from the workspace's on, whose new files feilun worker adds; it "
        "looks once a minute",
    )
    near_duplicates: bool = Field(
        True,
        description="whether texts that differ in a few letters stay in one split; finding them "
        "costs about twice the time of reading them",
    )
    split_by: Literal["auto", "group", "subject", "time"] = Field(
        "auto",
        description="what divides new rows: lots, with rows of one group or of one subject "
        "together, or the time: the newest judge. auto: lots; of users who come back, as in "
        "recommendation, the time where every file has one",
    )


class TrainingConfig(Section):
    """``[training]``: what holds for every method; ``[training.METHOD]`` holds a method's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: str = Field("auto", description="auto, or one method's name")
    exclude: tuple[str, ...] = Field((), description="methods that auto does not try")
    time_limit: float | None = Field(
        None,
        gt=0,
        description="minutes that one run may train: it plans within them, and trains less where "
        "it is slower than planned; the baseline is trained whatever it takes",
    )
    memory_limit: float | None = Field(
        None, gt=0, description="GiB that training may use; by default what the machine has free"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of training; by default all")
    folds: Literal["auto", 0] | Annotated[int, Field(ge=2, le=20)] = Field(
        "auto",
        description="parts into which the training rows are dealt, so that methods which would be "
        "judged on test rows alone are trained once without each and judged on all: a number from "
        "2 on, 0 for never, auto: 3 where half of what the time limit leaves suffices",
    )
    seed: int = Field(0, description="seed of every random choice in training")
    trackers: tuple[str, ...] = Field(
        (), description="tensorboard, mlflow, wandb or swanlab: sends live metrics there"
    )

    def for_method(self, method: str) -> dict[str, Any]:
        """The raw ``[training.METHOD]`` table; empty when the file has none."""
        raw = (self.model_extra or {}).get(method, {})
        return dict(raw) if isinstance(raw, Mapping) else {"": raw}


class TuneConfig(Section):
    """``[tune]``: what `feilun tune` searches, and for how long."""

    minutes: float = Field(
        20.0,
        gt=0,
        description="minutes that the search may take, however often it is interrupted; the winner "
        "is trained and judged afterwards",
    )
    trials: int | None = Field(
        None, ge=1, description="trainings to try at most; by default as many as fit into the time"
    )
    methods: tuple[str, ...] = Field(
        (),
        description="methods to try; by default all that can learn the task and are not only "
        "on request",
    )
    bases: tuple[str, ...] = Field(
        (),
        description="base models to try; by default the project's own and the starters that "
        "are at hand",
    )


class EvaluationConfig(Section):
    """``[evaluation]``: what the evidence must carry."""

    margin: Share = Field(
        0.01, description="points of the primary metric that are as good as no difference"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="coverage of intervals")
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap resamples")
    robustness: bool = Field(
        True, description="whether test rows are also asked with slips, other widths, blur, …"
    )
    robustness_rows: int = Field(
        300, ge=20, le=10_000, description="test rows asked so at most, once for each change"
    )
    unsure: Literal["hold", "promote"] = Field(
        "hold", description="what becomes of a candidate that is expected to lose within the margin"
    )
    slice_margin: Share = Field(
        0.03,
        description="points that a part of the rows may lose; a proven loss beyond it is refused",
    )
    forget_margin: Share = Field(
        0.01,
        description="points that an update may lose of the earlier test rows; a proven loss beyond "
        "it is refused, any other told; 1 lets all pass",
    )
    least_saving: Share = Field(
        0.3,
        description="share of the cost of 1,000 answers that a version has to save to go live "
        "without a gain, where it is shown to lose no more than the margin; 1 lets none",
    )
    consultations: int = Field(
        20, ge=1, description="versions judged on the same test rows until fresh rows are asked for"
    )
    target: TargetConfig = Field(TargetConfig(), description="what good enough means")
    costs: CostsConfig = Field(CostsConfig(), description="what the two errors cost")


class CompressionConfig(Section):
    """``[compression]``: how much may be lost for speed."""

    max_loss: Share = Field(
        0.005, description="share of accuracy that the cheapest variant may lose against the float"
    )
    variants: tuple[Literal["fp32", "bf16", "int8", "f16", "q8_0", "q4_0"], ...] = Field(
        ("bf16", "int8", "q8_0", "q4_0"),
        description="variants to build and measure, of those that a version's format has",
    )
    cascade: bool = Field(
        True,
        description="whether a cheaper model of the project answers first, where it is sure, and "
        "what it saves is worth it",
    )
    calibration_rows: int = Field(300, ge=10, description="training rows that calibrate int8")


class ServingConfig(Section):
    """``[serving]``: the project's endpoint."""

    golden_requests: int = Field(
        200, ge=200, description="requests replayed through the serving path before promotion"
    )
    max_inputs: int = Field(512, ge=1, description="inputs that one call may carry")
    price_per_1000: float = Field(
        0.0, ge=0, description="price of 1,000 answers in units of the currency"
    )
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="ISO 4217 code of the currency")
    machine_per_hour: float = Field(
        0.05, ge=0, description="what the machine costs an hour, for the cost per 1,000 answers"
    )
    deadline: float = Field(
        10.0, gt=0, description="seconds within which a call is answered, or refused at once"
    )
    write_deadline: float = Field(
        120.0, gt=0, description="the same for answers that are texts, written token by token"
    )
    hang_seconds: float = Field(
        60.0, gt=0, description="seconds after which a batch that does not end is given up"
    )
    cache_mb: int = Field(
        0, ge=0, description="MiB of memory for answers to repeated inputs; 0 keeps none"
    )
    abstain_below: Share = Field(
        0.0, description="answers less sure than this are marked abstained, for a person to decide"
    )
    interval: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="share of true numbers that the interval of a predicted number shall hold",
    )
    abstain_for: Share | None = Field(
        None,
        description="share of the answers not abstained that shall be right; sets abstain_below on"
        " the validation rows",
    )


class FeedbackConfig(Section):
    """``[feedback]``: how long inputs are kept for learning, and whose word weighs how much."""

    store_inputs: int = Field(
        30, ge=0, description="days that inputs are kept for feedback; 0 keeps none"
    )
    max_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="share of an update that one customer's corrections may make up",
    )
    audit: Share = Field(
        0.1,
        description="share of the review queue drawn at random: it tells how right answers are, and"
        " judges updates",
    )


class UpdateConfig(Section):
    """``[update]``: learning from corrections."""

    schedule: str | None = Field(
        None,
        description="cron expression (minute hour day month weekday, in UTC) for feilun worker",
    )
    min_corrections: int = Field(20, ge=1, description="new labels that an update waits for")
    new_label_rows: int = Field(
        10, ge=2, description="rows that a new label waits for before the model learns it"
    )
    quick: bool = Field(
        False,
        description="whether an update answers by the live version's own vectors, in seconds, "
        "until the next training; what has no such vectors learns as ever",
    )
    replay: float | None = Field(
        None,
        ge=0,
        description="old rows trained beside each new row when weights are continued; by default "
        "6 beside a correction, which is a mistake by selection, and 1 beside any other",
    )
    on_drift: Literal["none", "review", "update"] = Field(
        "none", description="what feilun worker does when inputs or answers have drifted"
    )


class ProjectConfig(Section):
    """The whole project file."""

    project: ProjectSection
    task: dict[str, Any] = Field(default_factory=dict, description="the task's own settings")
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    tune: TuneConfig = TuneConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compression: CompressionConfig = CompressionConfig()
    serving: ServingConfig = ServingConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    guard: GuardConfig = GuardConfig()
    upstream: UpstreamConfig = UpstreamConfig()
    update: UpdateConfig = UpdateConfig()


class Settings(Section):
    """What the environment sets, for every project of this process (``FEILUN_<NAME>``)."""

    workspace: Path = Field(Path(), description="folder of the workspace")
    lang: Language = Field("en", description="en or zh; by default the locale's")
    database: str | None = Field(
        None, description="SQLAlchemy URL of a PostgreSQL; by default SQLite files in .feilun"
    )
    artifacts: str | None = Field(
        None, description="folder or fsspec URL of the artifacts; by default .feilun/artifacts"
    )
    durability: Literal["process", "power"] = Field(
        "process",
        description="what a committed answer survives on SQLite: the death of any process, or a "
        "loss of power too, for one sync of the disk a commit; PostgreSQL always survives both",
    )
    key: str | None = Field(None, description="API key that feilun predict --url sends")
    starters: Path | None = Field(
        None, description="a folder of starter models, each a sub-folder, beside the installed ones"
    )
    memory: str | None = Field(
        None,
        description="memory for models of a server, such as 4GB; what does not fit is loaded when"
        " it is called. By default all stay loaded",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses and networks, with commas between, of proxies whose X-Forwarded-For "
        "is believed",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="origins, with commas between, of the web pages whose scripts may call the "
        "API, such as https://shop.example.com; * for all. By default none may",
    )
    admin_token: str | None = Field(
        None,
        repr=False,
        description="what opens /admin/v1 under feilun serve --admin, 32 characters or more; by "
        "default a file of the workspace holds one",
    )
    debug: bool = Field(False, description="show tracebacks")

    @field_validator("trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _divide(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings of `environ` (default: the process's), with `overrides` that are not None on top.

    Raises `InvalidSettings` naming every variable that does not fit.
    """
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {
        name: env[f"FEILUN_{name.upper()}"]
        for name in Settings.model_fields
        if env.get(f"FEILUN_{name.upper()}")
    }
    values.setdefault("lang", _locale_language(env))
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        faults = describe_faults(error, prefix="FEILUN_", upper=True)
        raise InvalidSettings("config.environment", faults=faults) from None


def _locale_language(env: Mapping[str, str]) -> Language:
    locale = env.get("LC_ALL") or env.get("LC_MESSAGES") or env.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"


def load_project(file: Path, overrides: Mapping[str, Any] | None = None) -> ProjectConfig:
    """The project file, with dotted `overrides` (``{"training.epochs": 2}``) on top.

    Raises `NotFound` without the file, `InvalidSettings` when it is not TOML or does not fit; all
    faults are reported together.
    """
    return check_project(file, read_project(file, overrides))


def read_project(file: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The tables of the project file as they are written, with `overrides` on top. Raises as
    `load_project` does, but for values that do not fit."""
    try:
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        raise NotFound("config.no_file", file=file) from None
    except UnicodeDecodeError:
        raise InvalidSettings("config.not_utf8", file=file, faults=()) from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings("config.not_toml", file=file, faults=(str(error),)) from None
    for dotted, value in (overrides or {}).items():
        table = raw
        *path, last = dotted.split(".")
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise InvalidSettings("config.not_a_table", file=file, faults=(dotted,))
        table[last] = value
    return raw


def check_project(file: Path, raw: Mapping[str, Any]) -> ProjectConfig:
    """What `read_project` read, checked. Raises `InvalidSettings` with every fault."""
    try:
        return ProjectConfig(**raw)
    except (ValidationError, TypeError) as error:
        faults = describe_faults(error) if isinstance(error, ValidationError) else [str(error)]
        raise InvalidSettings("config.project", file=file, faults=faults) from None

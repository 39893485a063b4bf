"""The whole exception tree.

A class says what kind of failure it is: its HTTP status and the exit code of the command line.
The `code` says which one, and is the key of its sentence in `feilun.messages`; the sentence's
hint tells what to do next. ``raise InvalidData("data.unknown_column", column="x", ...)``.

Exit codes: 1 refused by a gate, 2 usage or bad input, 3 environment, 70 a bug in feilun.
"""

from __future__ import annotations

from typing import Any, ClassVar

from feilun import messages

__all__ = [
    "AlreadyRunning",
    "BadAnswer",
    "Conflict",
    "CorruptArtifact",
    "EnvironmentProblem",
    "FeilunError",
    "Forbidden",
    "Gone",
    "InvalidData",
    "InvalidSettings",
    "NotFound",
    "Overloaded",
    "PayloadTooLarge",
    "PaymentRequired",
    "QuotaExceeded",
    "RateLimited",
    "Refused",
    "Unauthorized",
    "UsageError",
]


class FeilunError(Exception):
    """Root of everything feilun raises on purpose. `params` fill the sentence of `code`."""

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70
    type: ClassVar[str] = "internal_error"

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params

    def message(self, lang: messages.Language | None = None) -> str:
        """What was wrong and where, in `lang`."""
        return messages.t(self.code, lang, **self.params)

    def sentence(self) -> str:
        """The message as a `messages.Sentence`, to be kept for readers of either language."""
        with messages.knowing():
            return self.message()

    def hint(self, lang: messages.Language | None = None) -> str:
        """What to do next; empty when nothing can be said."""
        return messages.hint(self.code, lang, **self.params)

    def __str__(self) -> str:
        hint = self.hint()
        return f"{self.message()}\n{hint}" if hint else self.message()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.code, self.params))


def _rebuild(cls: type[FeilunError], code: str, params: dict[str, Any]) -> FeilunError:
    return cls(code, **params)


class UsageError(FeilunError):
    """The call itself is wrong: an unknown name, a missing argument, a bad request."""

    status = 400
    exit_code = 2
    type = "invalid_request_error"


class InvalidSettings(UsageError):
    """Settings that do not fit; `faults` in `params` lists all of them, not the first alone."""

    def message(self, lang: messages.Language | None = None) -> str:
        """What was wrong and where, a line for each fault."""
        faults = "\n  ".join(map(str, self.params.get("faults", ())))
        return messages.t(self.code, lang, **{**self.params, "faults": faults})


class InvalidData(UsageError):
    """Data that cannot be used; names the file and, where there is one, the row and column."""

    status = 422


class PayloadTooLarge(UsageError):
    """More than the stated limit: body bytes, inputs, pixels."""

    status = 413


class NotFound(UsageError):
    """No such project, model, key, prediction."""

    status = 404


class Gone(UsageError):
    """It was there and is no longer kept: an expired or never stored input."""

    status = 410


class Conflict(UsageError):
    """It exists already, or changed meanwhile."""

    status = 409


class Unauthorized(UsageError):
    """No key, or a wrong, expired or revoked one."""

    status = 401
    type = "authentication_error"


class Forbidden(UsageError):
    """A valid key that may not do this."""

    status = 403
    type = "permission_error"


class RateLimited(UsageError):
    """More than this key or customer may use; ``retry_after`` in `params` are seconds."""

    status = 429
    type = "rate_limit_error"


class QuotaExceeded(RateLimited):
    """A month's quota or budget is used up. 429 with this type is what OpenAI answers then, so that
    clients written for it tell it from a call that came too fast."""

    type = "insufficient_quota"


class PaymentRequired(UsageError):
    """What was paid beforehand does not cover the call. Not 429: no month begins anew, and trying
    again is of no use until somebody has paid."""

    status = 402
    type = "insufficient_balance"


class Refused(FeilunError):
    """A gate said no: the evidence does not carry the promotion."""

    status = 409
    exit_code = 1
    type = "refused"


class EnvironmentProblem(FeilunError):
    """The machine does not give what is needed: disk, port, package, network, database."""

    status = 503
    exit_code = 3
    type = "environment_error"


class BadAnswer(FeilunError):
    """A model answered something that cannot be delivered: not in the form that was asked for."""

    status = 502
    exit_code = 3
    type = "model_error"


class AlreadyRunning(EnvironmentProblem):
    """Another process holds the project's lock; `pid` in `params`."""

    status = 409


class CorruptArtifact(EnvironmentProblem):
    """A stored file does not have the hash its manifest states."""


class Overloaded(EnvironmentProblem):
    """The server has more work than it can do in time; try again later."""

    status = 503
    type = "overloaded"

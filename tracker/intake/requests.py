"""What a registration may look like: one model for the API's JSON and the command line's JSON lines."""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from tracker.errors import InputError
from tracker.model import EVENT_WORDS

LARGEST_BATCH = 1000
LONGEST_TASK_ID = 512
LONGEST_URL = 2048
LONGEST_UPSTREAM = 64
LARGEST_METADATA = 4096
"""Bytes of compact JSON."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; a backslash before it that is itself escaped makes it plain text."""
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def check_clean(value: str) -> str:
    """The text, if it is printable and has nothing around it."""
    if _UNPRINTABLE.search(value):
        raise unfit("has a control character or half a character", "send plain text")
    if value != value.strip():
        raise unfit("begins or ends with white space", "send it without")
    return value


def check_words(words: Sequence[str]) -> list[str]:
    """The events, each once and without `task.`, if all of them are known."""
    folded = list(dict.fromkeys(word.strip().removeprefix("task.") for word in words))
    unknown = [word for word in folded if word not in EVENT_WORDS]
    if unknown or not folded:
        what = f"{unknown[0]!r} is no event" if unknown else "is empty"
        raise unfit(what, f"use some of: {', '.join(EVENT_WORDS)}")
    return folded


def compact(value: Any) -> str:  # noqa: ANN401 - JSON
    """The metadata as it is kept, if that can be, and is not too large."""
    try:
        text = _COMPACT.encode(value)
    except RecursionError as error:
        raise unfit("is nested too deep", "send fewer levels") from error
    except ValueError as error:
        raise unfit("is not JSON", "send an object, a list, text, a number, true or false") from error
    if _UNSTORABLE.search(text) or _ESCAPED_NUL.search(text):
        raise unfit("has a NUL or half a character", "send text that a database can store")
    if len(text.encode()) > LARGEST_METADATA:
        raise unfit(f"is over {LARGEST_METADATA} bytes", "keep the rest at your side, under a key that you put here")
    return text


def _small(value: Any) -> Any:  # noqa: ANN401 - JSON
    compact(value)
    return value


def unfit(problem: str, fix: str) -> PydanticCustomError:
    """What a validator raises, so that `explain` finds the problem and the fix."""
    return PydanticCustomError("unfit", "{problem}; {fix}", {"problem": problem, "fix": fix})


class RegistrationRequest(BaseModel):
    """Watch this task, and tell this URL. Sending it twice changes nothing; later fields replace earlier ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task_id: Annotated[str, AfterValidator(check_clean)] = Field(
        min_length=1,
        max_length=LONGEST_TASK_ID,
        description="The id that the upstream gave when the job was submitted; text.",
    )
    callback_url: Annotated[str, Field(max_length=LONGEST_URL), AfterValidator(check_clean)] | None = Field(
        default=None, description="Where to POST the messages; without one the task is only watched."
    )
    upstream: str | None = Field(
        default=None, max_length=LONGEST_UPSTREAM, description="A configured upstream; the default one otherwise."
    )
    events: Annotated[list[str], AfterValidator(check_words)] | None = Field(
        default=None,
        description=f"What to tell, some of: {', '.join(EVENT_WORDS)}. Default: ended. Needs a callback_url.",
    )
    format: Literal["standard", "upstream"] | None = Field(
        default=None,
        description="Body of the messages: standard, or upstream (the gateway's own JSON, bare). Needs a callback_url.",
    )
    metadata: Annotated[Any, AfterValidator(_small)] = Field(
        default=None,
        description=f"Any JSON up to {LARGEST_METADATA} bytes; handed back in every message. Needs a callback_url.",
    )


class TrialRequest(BaseModel):
    """Send `callback.test` to this URL now."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    callback_url: Annotated[str, Field(max_length=LONGEST_URL), AfterValidator(check_clean)] = Field(
        description="Where to POST the test."
    )


def parse(document: object, *, where: str = "") -> RegistrationRequest:
    """A registration from JSON that was read already; raises InputError naming the field under `where`."""
    try:
        return RegistrationRequest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise explain(first, where=where) from None


def explain(problem: Any, *, where: str = "") -> InputError:  # noqa: ANN401 - pydantic's own record
    """One pydantic problem as an error that names the field and the fix."""
    place = [part for part in problem["loc"] if part not in ("body", "query", "path", "header")]
    field = _join(where, [part for part in place if not _is_branch(part)])
    context = problem.get("ctx", {})
    if problem["type"] == "unfit":
        return InputError(field, context["problem"], context["fix"])
    if problem["type"] not in _WORDS:
        return InputError(field, problem["msg"][:1].lower() + problem["msg"][1:], "correct it")
    what, fix = _WORDS[problem["type"]]
    if problem["type"] == "string_type" and place:
        fix = _QUOTED.get(str(place[-1]), fix)
    return InputError(field, what.format(**context), fix.format(**context))


_QUOTED = {
    "task_id": 'put it in quotes: "1730621826053455"',
    "callback_url": 'put it in quotes: "https://you.example/hook"',
    "upstream": 'put it in quotes: "default"',
}
_WORDS = {
    "missing": ("is missing", "send it"),
    "extra_forbidden": ("is not a known field", "leave it out, or check its spelling"),
    "string_type": ("is not text", "send text, in quotes"),
    "string_unicode": ("has half a character", "send plain text"),
    "string_too_short": ("is empty", "send at least {min_length} character"),
    "string_too_long": ("is too long", "send at most {max_length} characters"),
    "literal_error": ("is not a known word", "use {expected}"),
    "list_type": ("is not a list", 'send a list, like ["ended", "progress"]'),
    "too_long": ("has too many entries", "send at most {max_length} at a time"),
    "too_short": ("is empty", "send at least one"),
    "model_type": ("is not an object", 'send an object, like {{"task_id": "1730621826053455"}}'),
    "model_attributes_type": ("is not an object", 'send an object, like {{"task_id": "1730621826053455"}}'),
    "dict_type": ("is not an object", 'send an object, like {{"task_id": "1730621826053455"}}'),
    "json_invalid": ("is not JSON: {error}", "send one JSON document, with content-type application/json"),
    "int_parsing": ("is not a whole number", "send digits"),
    "less_than_equal": ("is too large", "send at most {le}"),
    "greater_than_equal": ("is too small", "send at least {ge}"),
    "enum": ("is not a known word", "use {expected}"),
    "datetime_from_date_parsing": ("is not a time", "send one like 2026-11-22T08:00:00Z"),
    "datetime_parsing": ("is not a time", "send one like 2026-11-22T08:00:00Z"),
}


def _is_branch(part: object) -> bool:
    """Pydantic names the branch of a union it tried; that is no part of what was sent."""
    return isinstance(part, str) and ("[" in part or part in ("constrained-str", "function-after"))


def _join(where: str, place: Sequence[object]) -> str:
    path = where
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
    return path or "body"

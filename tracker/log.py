"""The log: structlog events on standard error, and the warnings of the libraries in the same clothes.

Standard output belongs to the command line. No secret is ever written: keys that name one, and texts that look like
one, are replaced, inside exceptions too.
"""

import functools
import json
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from tracker.systemd import PRIORITIES

REDACTED = "[redacted]"

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_FIRST = ("at", "level", "event")
_DEEPEST = 6


def configure(
    *,
    format: str,  # noqa: A002 the name of the setting
    level: str,
    stream: TextIO | None = None,
    journal: bool = False,
) -> None:
    """Send every event of at least `level` to `stream` (standard error), as `console`, `json` or what `auto` picks.

    `journal` says that systemd's journal is listening: JSON lines then carry its level prefix.
    """
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    is_console = format == "console" or (format == "auto" and is_terminal)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            redact,
            *(_console(has_colours=is_terminal) if is_console else [_journal_line if journal else _line]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unbreakable(stream))),
        cache_logger_on_first_use=False,
    )
    _take_over_libraries(max(_LEVELS[level], logging.WARNING))


@contextmanager
def quiet() -> Iterator[None]:
    """No events while the context lasts: for commands that tell by themselves what happened."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_LEVELS["critical"]))
    try:
        yield
    finally:
        structlog.configure(**before)


class _Unbreakable:
    """A stream whose failures stay its own: a full disk behind standard error must not stop the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


_SECRET_NAME = re.compile(r"token|secret|authorization|signature|password", re.IGNORECASE)
_SECRET_TEXTS = (
    re.compile(r"\b(?:whsec|trk)_[A-Za-z0-9+/=_-]+"),
    re.compile(r"\bbearer\s+[^\s\"',;]+", re.IGNORECASE),
    re.compile(r"\bv1a?,[A-Za-z0-9+/=]{16,}"),
    # The password of an address, and the value after a telling name: in a query, or quoted.
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/]*(?=@)"),
    re.compile(r"(?:token|secret|signature|password)[\w-]{0,40}=[^\s&\"',;)]+", re.IGNORECASE),
    re.compile(
        r"(?:token|secret|authorization|signature|password)[\w-]{0,40}[\"']?\s{0,4}[:=]\s{0,4}(?:\"[^\"]+\"|'[^']+')",
        re.IGNORECASE,
    ),
)


_SUSPICIOUS = re.compile(r"whsec_|trk_|bearer|v1a?,|@|token|secret|signature|authorization|password", re.IGNORECASE)
"""What every one of them needs: most texts are through with a single look."""
_SUSPICIOUS_WORDS = (
    *("whsec_", "trk_", "bearer", "v1,", "v1a,", "@", "token", "secret", "signature", "authorization", "password"),
)
"""The same, for texts without letters that have two capital forms: thirty times as fast."""


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what is or may be a secret, and turn every value into something that JSON can carry."""
    if _is_plain(event):
        return event
    return {key: REDACTED if _names_a_secret(key) else _clean(value) for key, value in event.items()}


_PLAIN = frozenset((str, int, bool, type(None)))


def _is_plain(event: EventDict) -> bool:
    """Whether there is nothing to replace, which is soon said of all values at once."""
    texts = [value for value in event.values() if type(value) is str]
    if not _PLAIN.issuperset(map(type, event.values())) or any(map(_names_a_secret, event)):
        return False
    return not _is_suspicious("\n".join(texts))


def _is_suspicious(text: str) -> bool:
    if not text.isascii():
        return _SUSPICIOUS.search(text) is not None
    small = text.lower()
    return any(word in small for word in _SUSPICIOUS_WORDS)


@functools.lru_cache(maxsize=1024)
def _names_a_secret(key: str) -> bool:
    return _SECRET_NAME.search(key) is not None


def _clean(value: object, depth: int = 0) -> object:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        pairs = ((str(key), inner) for key, inner in value.items())
        return {key: REDACTED if _names_a_secret(key) else _clean(inner, depth + 1) for key, inner in pairs}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_clean(inner, depth + 1) for inner in value]
    text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    if not _is_suspicious(text):
        return text
    for pattern in _SECRET_TEXTS:
        text = pattern.sub(REDACTED, text)
    return text


_encode = msgspec.json.Encoder().encode


def _line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered = {**{key: event[key] for key in _FIRST if key in event}, **event}
    try:
        return msgspec.json.format(_encode(ordered), indent=0).decode()
    except (UnicodeEncodeError, OverflowError, TypeError):
        # Half a character, a number of more than 64 bits, or of a kind of its own.
        return json.dumps(ordered, ensure_ascii=False)


def _journal_line(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return f"<{PRIORITIES[event['level']]}>{_line(logger, method, event)}"


def _console(*, has_colours: bool) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=has_colours,
        timestamp_key="at",
        sort_keys=False,
        # Exceptions arrive as text. The default formatter would print local variables, secrets included.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_escape_controls, renderer]


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep what upstreams say from steering the terminal; only an exception has lines of its own."""
    return {key: _printable(value, "\n\t" if key == "exception" else "") for key, value in event.items()}


def _printable(value: object, kept: str) -> object:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(
        letter if letter.isprintable() or letter in kept else letter.encode("unicode_escape").decode()
        for letter in value
    )


class _Bridge(logging.Handler):
    """Turns the records of libraries into events, with the logger's name beside them."""

    def emit(self, record: logging.LogRecord) -> None:
        logger: FilteringBoundLogger = structlog.get_logger()
        level = max((known for known in _LEVELS.values() if known <= record.levelno), default=logging.DEBUG)
        try:
            logger.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 the contract of logging handlers: a bad record must not stop its author
            self.handleError(record)


_LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "apscheduler", "sqlalchemy", "alembic", "asyncio")


def _take_over_libraries(level: int) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge(level))
    root.setLevel(level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.NOTSET)

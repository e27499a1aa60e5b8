"""What can go wrong, and what the caller should do about it.

TrackerError
├── ConfigError        fix the configuration, start again             exit 78
├── InputError         fix the named field, call again                exit 2, HTTP 422
├── NotFoundError      there is no such thing (or it is not yours)    exit 3, HTTP 404
├── RefusedError       the token does not allow it                    exit 1, HTTP 401 or 403
├── ConflictError      the state of the thing does not allow it       exit 1, HTTP 409
├── ThrottledError     called too often: wait as long as it says      exit 69, HTTP 429
└── UnavailableError   a database or daemon is out of reach: wait     exit 69, HTTP 503
    └── BusyError      another daemon holds this database             exit 69
"""

from typing import ClassVar


class TrackerError(Exception):
    """Anything tracker tells a person about; its text is one line that names the cause."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class ConfigError(TrackerError):
    """A setting is unknown or has a bad value."""

    exit_code = 78

    def __init__(self, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{key}: {problem}; {fix}")
        self.key = key
        self.problem = problem
        self.fix = fix


class InputError(TrackerError):
    """A value that somebody sent cannot be used; nothing was done."""

    exit_code = 2
    http_status = 422

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field}: {problem}; {fix}")
        self.field = field
        self.problem = problem
        self.fix = fix


class NotFoundError(TrackerError):
    """There is no such thing, or the caller may not see it."""

    exit_code = 3
    http_status = 404


class RefusedError(TrackerError):
    """The caller is unknown (401) or is not allowed to do this (403)."""

    http_status = 403

    def __init__(self, text: str, *, http_status: int = 403) -> None:
        super().__init__(text)
        self.status = http_status


class ConflictError(TrackerError):
    """The thing exists but its state does not allow what was asked."""

    http_status = 409


class ThrottledError(TrackerError):
    """Somebody calls too often; after this many seconds it may be tried again."""

    exit_code = 69
    http_status = 429

    def __init__(self, text: str, *, retry_after: int) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class UnavailableError(TrackerError):
    """A database or a daemon is out of reach; trying again later is right."""

    exit_code = 69
    http_status = 503


class BusyError(UnavailableError):
    """Another daemon already serves this SQLite file."""

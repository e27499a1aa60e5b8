"""The kinds of values that settings have: each reads text (from the environment) as well as TOML's own types.

A reader refuses with `refusal(problem, fix)`, the two halves of the line that a person gets to see.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError

from tracker.config.durations import EXAMPLES, parse_duration

REFUSED = "refused"
"""The pydantic error type of every refusal made here."""

Network = IPv4Network | IPv6Network
_MOST_LISTED = 100
_LONGEST_QUOTE = 60
_LARGEST_QUOTE = 10**15
_KINDS: tuple[tuple[type, str], ...] = (
    (str, "a text"),
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (Mapping, "a table"),
    (Sequence, "a list"),
    (type(None), "nothing"),
)


def refusal(problem: str, fix: str) -> PydanticCustomError:
    """What a reader raises: `problem` says what the value is, `fix` what to write instead."""
    return PydanticCustomError(REFUSED, "{problem}; {fix}", {"problem": problem, "fix": fix})


def kind(value: object) -> str:
    """What a value is, without telling it."""
    return next((word for types, word in _KINDS if isinstance(value, types)), f"a {type(value).__name__}")


def quote(value: object) -> str:
    """A value's shape on one line: short texts and numbers as they are, anything bigger by its kind alone."""
    if isinstance(value, str):
        shown = json.dumps(value, ensure_ascii=not value.isprintable())
        return shown if len(shown) <= _LONGEST_QUOTE else f"a text of {len(value)} characters"
    if isinstance(value, int | float):
        return "a huge number" if abs(value) >= _LARGEST_QUOTE else json.dumps(value)
    return kind(value)


def _read_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as error:
            if "longer" in str(error):
                raise refusal(f"{quote(value)} is {error}", "write a shorter one") from None
    raise refusal(f"{quote(value)} is not a duration", f"write a number with a unit: {EXAMPLES}")


def _read_positive_duration(value: object) -> timedelta:
    duration = _read_duration(value)
    if duration <= timedelta(0):
        raise refusal(f"{quote(value)} is no time at all", f"write a longer duration, like {EXAMPLES}")
    return duration


def _listed(value: object, example: str) -> Sequence[object]:
    """The members of a list, or of one comma-separated text."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value.strip() else []
    if isinstance(value, Mapping) or not isinstance(value, Sequence):
        raise refusal(f"{quote(value)} is not a list", f"write {example}")
    if len(value) > _MOST_LISTED:
        raise refusal(f"a list of {len(value)}", f"write at most {_MOST_LISTED}")
    return value


def _read_schedule(value: object) -> tuple[timedelta, ...]:
    example = '["0s", "5s", "5m"], or in the environment 0s,5s,5m'
    members = _listed(value, example)
    if not members:
        raise refusal("an empty list", f"write at least one wait, like {example}")
    return (_read_duration(members[0]), *(_read_positive_duration(member) for member in members[1:]))


def _read_network(value: object) -> Network:
    fix = 'write networks like "10.0.0.0/8" or "fd00::/8"'
    if isinstance(value, Network):
        return value
    if not isinstance(value, str):
        raise refusal(f"{quote(value)} is not a network", fix)
    try:
        loose = ip_network(value, strict=False)
    except ValueError:
        raise refusal(f"{quote(value)} is not a network", fix) from None
    try:
        return ip_network(value)
    except ValueError:
        raise refusal(f"{quote(value)} names a host and a network at once", f'write "{loose}"') from None


def _read_networks(value: object) -> tuple[Network, ...]:
    return tuple(_read_network(member) for member in _listed(value, 'networks like ["10.0.0.0/8"]'))


_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.ASCII)


def _read_host(value: object) -> str:
    host = value.strip().lower().rstrip(".") if isinstance(value, str) else ""
    if not _HOST.fullmatch(host):
        raise refusal(f"{quote(value)} is not the name of a host", 'write names without a port, like "tracker.example"')
    return host


def _read_hosts(value: object) -> tuple[str, ...]:
    return tuple(_read_host(member) for member in _listed(value, 'names like ["tracker.example"]'))


_INTEGER = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?", re.ASCII)


def whole(low: int, high: int) -> BeforeValidator:
    """Reads a whole number from `low` to `high`, both included."""
    return BeforeValidator(partial(_read_whole, low=low, high=high))


def whole_or_none(low: int, high: int) -> BeforeValidator:
    """Reads the same where there is one."""
    return BeforeValidator(_optional(partial(_read_whole, low=low, high=high)))


def _read_whole(value: object, low: int, high: int) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise refusal(f"{quote(value)} is not a whole number", f"write one from {low} to {high}")
    if not low <= value <= high:
        raise refusal(f"{quote(value)} is out of range", f"write a whole number from {low} to {high}")
    return value


_HIGHEST_RATE = 100_000


def _read_rate(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        value = float(value)
    fix = f"write how many a second, above 0 and up to {_HIGHEST_RATE}, or leave it out for no limit"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refusal(f"{quote(value)} is not a number", fix)
    if not 0 < value <= _HIGHEST_RATE:
        raise refusal(f"{quote(value)} is out of range", fix)
    return float(value)


_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _read_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    raise refusal(f"{quote(value)} is neither true nor false", "write true or false")


def _fold(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


_TOKEN = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,8000}[\x21-\x7e])?")


def _read_token(value: object) -> SecretStr | None:
    """A token that fits an HTTP header. What was written is never told, whatever is wrong with it."""
    if value is None or isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise refusal("is not a text", "write the token in quotes")
    token = value.strip()
    if not token:
        raise refusal("is empty", "write the token, or leave the key out")
    if not _TOKEN.fullmatch(token):
        raise refusal("has characters that no HTTP header can carry", "write the token as the gateway shows it")
    return SecretStr(token)


NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def _read_name(value: object) -> str:
    if isinstance(value, str) and NAME_PATTERN.fullmatch(value):
        return value
    fix = "write up to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"
    raise refusal(f"{quote(value)} is not a name", fix)


def _optional(read: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if value is None else read(value)


Duration = Annotated[timedelta, BeforeValidator(_read_positive_duration)]
Schedule = Annotated[tuple[timedelta, ...], BeforeValidator(_read_schedule)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_read_networks)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_read_hosts)]
Rate = Annotated[float | None, BeforeValidator(_read_rate)]
Flag = Annotated[bool, BeforeValidator(_read_flag)]
Token = Annotated[SecretStr | None, BeforeValidator(_read_token)]
Name = Annotated[str, BeforeValidator(_read_name)]
OptionalName = Annotated[str | None, BeforeValidator(_optional(_read_name))]
FOLDED = BeforeValidator(_fold)
"""Lets words be written in any case."""

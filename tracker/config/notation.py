"""The configuration written out for people: the sample file, and the list of what is in force."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta

from pydantic import SecretStr

from tracker.config.addresses import MASK, mask_password, mask_path
from tracker.config.durations import format_duration
from tracker.config.keys import KEYS, NAME, Key, KeyPath, dotted, paths, with_name
from tracker.config.layers import Loaded
from tracker.config.settings import Settings

_PREFACE = """\
# Every setting of tracker with its default.
# To change one, take away the # in front of it and of the [table] it is in.
# Durations are a number with a unit: "250ms", "20s", "5m", "2h", "7d".
# The environment says the same as TRACKER_LOG__LEVEL=debug, and wins over this file.
"""


def example() -> str:
    """A tracker.toml with every key commented out; keys without a default show a made-up value."""
    tables: dict[KeyPath, list[Key]] = {}
    for key in sorted(KEYS, key=lambda key: len(key.path) > 1):
        tables.setdefault(key.path[:-1], []).append(key)
    return _PREFACE + "".join(_table(path, keys) for path, keys in tables.items())


def _table(path: KeyPath, keys: list[Key]) -> str:
    # The table of an upstream would need its address; the others do no harm while they are empty.
    mark = "#" if NAME in path else ""
    header = f"\n{mark}[{dotted(with_name(path, 'default'))}]\n" if path else ""
    return header + "".join(f"\n{_entry(key)}" for key in keys)


def _entry(key: Key) -> str:
    field = key.field
    value = field.examples[0] if field.examples else field.get_default(call_default_factory=True)
    note = "" if field.is_required() or not field.examples else " Not set by default."
    required = " Required." if field.is_required() else ""
    return f"# {field.description}{required}{note}\n#{key.path[-1]} = {_toml(value)}\n"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(member) for member in value)}]"
    if isinstance(value, bool | int):
        return json.dumps(value)
    return json.dumps(_text(value), ensure_ascii=False)


_MASKS: Mapping[KeyPath, Callable[[str], str]] = {
    ("database_url",): mask_password,
    ("operator_callback_url",): mask_path,
}


def show(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Every setting in force as key, value and origin; secrets are masked."""
    rows = []
    for path in paths(loaded.settings.upstreams):
        value = _value(loaded.settings, path)
        mask = _MASKS.get(path)
        text = _text(value) if value is None or mask is None else mask(str(value))
        rows.append((dotted(path), text, loaded.origins[dotted(path)]))
    return rows


def _value(settings: Settings, path: KeyPath) -> object:
    value: object = settings
    for part in path:
        value = value[part] if isinstance(value, Mapping) else getattr(value, part)
    return value


def _text(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case bool() | float():
            return json.dumps(value).removesuffix(".0")
        case timedelta():
            return format_duration(value)
        case SecretStr():
            return MASK
        case tuple():
            return ",".join(_text(member) for member in value)
        case _:
            return str(value)

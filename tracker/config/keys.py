"""The keys of the configuration, read off the models: `upstreams.<name>.token` and all the others."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from pydantic.fields import FieldInfo

from tracker.config.settings import Section, Settings

KeyPath = tuple[str, ...]
UPSTREAMS = "upstreams"
NAME = "<name>"
"""Stands for the name of any upstream."""
PREFIX = "TRACKER_"

_LONGEST_LINE = 200
_BARE = re.compile(r"[A-Za-z0-9_<>-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting, wherever it stands; `path` has `<name>` where an upstream's name goes."""

    path: KeyPath
    field: FieldInfo


def _leaves(model: type[Section], path: KeyPath = ()) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        here = (*path, name)
        section = _section_of(field)
        if section is None:
            yield Key(path=here, field=field)
        else:
            yield from _leaves(section, (*here, NAME) if name == UPSTREAMS else here)


def _section_of(field: FieldInfo) -> type[Section] | None:
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


KEYS = tuple(_leaves(Settings))
_BY_PATH = {key.path: key for key in KEYS}
SECTIONS = tuple(dict.fromkeys(key.path[:end] for key in KEYS for end in range(len(key.path))))


def with_name(path: KeyPath, name: str) -> KeyPath:
    """The same key for the upstream called `name`."""
    return tuple(name if part == NAME else part for part in path)


def _anonymous(path: KeyPath) -> KeyPath:
    return (UPSTREAMS, NAME, *path[2:]) if path[:1] == (UPSTREAMS,) and len(path) > 1 else path


def find_key(path: KeyPath) -> Key | None:
    """The setting at this path, or None where there is none."""
    return _BY_PATH.get(_anonymous(path))


def is_section(path: KeyPath) -> bool:
    """Whether a table stands at this path."""
    return _anonymous(path) in SECTIONS


def paths(upstreams: Iterable[str]) -> Iterator[KeyPath]:
    """Every setting there is when these upstreams are configured, in the order of the models."""
    names = tuple(upstreams)
    sections = dict.fromkeys(key.path[:-1] for key in KEYS)
    for section in sections:
        ends = [key.path for key in KEYS if key.path[:-1] == section]
        for name in names if NAME in section else ("",):
            yield from (with_name(end, name) for end in ends)


def dotted(path: KeyPath) -> str:
    """The path as people write it; parts that TOML wants in quotes get them, so that it is one short line."""
    return ".".join(part if _BARE.fullmatch(part) else printable(json.dumps(part)) for part in path)


def variable(path: KeyPath) -> str:
    """The environment variable that sets this key."""
    return printable(PREFIX + "__".join(path).upper().replace("-", "_"))


def printable(text: str) -> str:
    """One short line, whatever is in the text."""
    line = text if text.isprintable() else json.dumps(text)[1:-1]
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"

"""What is wrong with a configuration, told in one line: the key, the value's shape, the fix, and where it was set.

No line repeats a value that may be a secret, and the underlying exceptions, which would, are never chained.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from pydantic import ValidationError

from tracker.config.fields import REFUSED, kind, quote
from tracker.config.keys import (
    KEYS,
    NAME,
    SECTIONS,
    UPSTREAMS,
    KeyPath,
    dotted,
    find_key,
    printable,
    variable,
    with_name,
)
from tracker.config.settings import DIALECTS
from tracker.errors import ConfigError

DEFAULT = "default"
"""The origin of a value that nobody set."""
DEFAULT_UPSTREAM = "default"
"""What an upstream is called by whoever has only one."""


def unknown_key(path: KeyPath, origin: str) -> ConfigError:
    """A key that no setting has."""
    known = [key.path for key in KEYS] + [section for section in SECTIONS if len(section) == len(path)]
    tables = [one[:-1] for one in _of_same_end(path, known)]
    if len(path) == 1 and all(tables) and tables:
        fix = f"it belongs under {' or '.join(f'[{dotted(table)}]' for table in tables)}"
    else:
        fix = _closest(path, known, dotted)
    return ConfigError(dotted(path), "is not a setting", _at(fix, origin))


def unknown_variable(name: str, path: KeyPath) -> ConfigError:
    """An environment variable that reads like a setting and is none."""
    return ConfigError(printable(name), "is not a setting", _closest(path, [key.path for key in KEYS], variable))


def not_a_table(path: KeyPath, value: object, origin: str) -> ConfigError:
    """A plain value where settings are grouped; its text is not told, a token may have gone astray."""
    table = dotted((*path, NAME) if path == (UPSTREAMS,) else path)
    return ConfigError(
        dotted(path), f"is {kind(value)}, not a table", _at(f"write a table, [{table}], with its keys below", origin)
    )


def bad_value(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    """The first thing that the models refuse."""
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"] if part != "[key]")
    context: Mapping[str, object] = first.get("ctx", {})
    match first["type"]:
        case "missing":
            problem, fix = "is missing", f"write it, like {_example(path)}"
        case "literal_error":
            problem = f"{_word(first['input'])} is not possible here"
            fix = f"write {context['expected']}".replace("'", '"')
        case refused if refused == REFUSED:
            problem, fix = str(context["problem"]), str(context["fix"])
        case _:
            problem, fix = "has a value of the wrong kind", f"write it like {_example(path)}"
    return ConfigError(dotted(path), problem, _at(fix, _origin(dotted(path), origins)))


def unknown_dialect(name: str, dialect: str, origins: Mapping[str, str]) -> ConfigError:
    """A kind of gateway that no provider speaks to."""
    key = dotted((UPSTREAMS, name, "dialect"))
    fix = f"write {' or '.join(map(quote, DIALECTS))}"
    return ConfigError(key, f"{quote(dialect)} is not a dialect that tracker speaks", _at(fix, _origin(key, origins)))


def _closest(path: KeyPath, known: Sequence[KeyPath], spell: Callable[[KeyPath], str]) -> str:
    """What may have been meant: a key of the same table, or of the same name in another, or one that reads alike."""
    named = [with_name(one, _upstream(path)) for one in known]
    beside = [one for one in named if one[:-1] == path[:-1]]
    meant = _of_same_end(path, known) or _alike(path[-1], {one[-1]: one for one in beside})
    if not meant and not (beside and path[:-1]):
        meant = _alike(dotted(path), {dotted(one): one for one in named})
    if meant:
        return f"did you mean {' or '.join(map(spell, meant))}?"
    if not beside or not path[:-1]:
        return "remove it: `tracker config example` names every setting"
    return f"remove it, or write one of {', '.join(map(spell, beside))}"


def _of_same_end(path: KeyPath, known: Sequence[KeyPath]) -> list[KeyPath]:
    """The keys of this name in other tables; of the table alone that reads like the one written, where one does."""
    found = {one[:-1]: one for one in (with_name(one, _upstream(path)) for one in known) if one[-1] == path[-1]}
    return _alike(dotted(path[:-1]), {dotted(table): one for table, one in found.items()}) or list(found.values())


def _upstream(path: KeyPath) -> str:
    """The name of the upstream that a key is about; the usual one where it says none."""
    return path[1] if len(path) > 2 else DEFAULT_UPSTREAM  # noqa: PLR2004 - a table, a name, a key


def _alike(text: str, known: Mapping[str, KeyPath]) -> list[KeyPath]:
    return [known[match] for match in get_close_matches(text, known, n=1)]


def _word(value: object) -> str:
    """The value where it is a plain word; anything else may be a token in the wrong place."""
    return quote(value) if isinstance(value, str) and re.fullmatch("[a-z]{1,12}", value, re.ASCII) else "this value"


def _example(path: KeyPath) -> str:
    key = find_key(path)
    return json.dumps(key.field.examples[0]) if key and key.field.examples else "the sample configuration"


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Where the key was set; where it was not, what else made its table."""
    if key in origins:
        return origins[key]
    table = key.rpartition(".")[0]
    return next((origin for other, origin in origins.items() if table and other.startswith(f"{table}.")), "")


def _at(fix: str, origin: str) -> str:
    return fix if origin in ("", DEFAULT) else f"{fix} ({origin})"

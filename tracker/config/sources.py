"""What each layer says: values at the places that settings have, and nothing at any other place."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.config.fields import NAME_PATTERN
from tracker.config.keys import PREFIX, UPSTREAMS, KeyPath, find_key, is_section, printable
from tracker.config.problems import not_a_table, unknown_key, unknown_variable
from tracker.errors import ConfigError

_NOT_SETTINGS = frozenset({"config", "secret", "token", "url"})
"""`TRACKER_CONFIG` names the file; the others belong to the command line: to `listen`, and to speak to a daemon."""
_TESTS = "test_"
_FOLDERS = ("", "tracker_", "encrypted_")
"""What systemd puts before the name of a file whose whole folder is passed; one that was named by itself goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One value from one layer; an empty table is given too, as it may name an upstream."""

    path: KeyPath
    value: object
    origin: str


def from_table(table: Mapping[str, object], origin: str) -> Iterator[Given]:
    """What a file says."""
    return _leaves((), table, origin)


def from_command_line(overrides: Mapping[str, object]) -> Iterator[Given]:
    """What options say, by dotted key; those that are None were not given."""
    for key, value in overrides.items():
        if value is not None:
            yield from _leaves(tuple(key.split(".")), value, "command line")


def _leaves(path: KeyPath, value: object, origin: str) -> Iterator[Given]:
    if find_key(path):
        yield Given(path=path, value=value, origin=origin)
        return
    if not is_section(path):
        raise unknown_key(path, origin)
    if not isinstance(value, Mapping):
        raise not_a_table(path, value, origin)
    if path and not value:
        yield Given(path=path, value={}, origin=origin)
    for name, inner in value.items():
        yield from _leaves((*path, str(name)), inner, origin)


def upstreams_in(given: Iterable[Given]) -> frozenset[str]:
    """The names of the upstreams that these values speak of."""
    return frozenset(one.path[1] for one in given if one.path[:1] == (UPSTREAMS,) and len(one.path) > 1)


def from_environment(environ: Mapping[str, str], names: frozenset[str]) -> Iterator[Given]:
    """What variables say; an empty one says nothing, as that is how scripts leave one out."""
    for name, path in _variables(environ, names):
        if value := environ[name]:
            yield Given(path=path, value=value, origin=f"environment {printable(name)}")


def left_empty(environ: Mapping[str, str], names: frozenset[str]) -> dict[KeyPath, str]:
    """The places whose variables are there without a value, to be blamed where nothing else says one."""
    found = _variables(environ, names)
    return {path: f"environment {printable(name)}, which is empty" for name, path in found if not environ[name]}


def _variables(environ: Mapping[str, str], names: frozenset[str]) -> Iterator[tuple[str, KeyPath]]:
    for name in sorted(environ, key=_by_words):
        if name[: len(PREFIX)].upper() != PREFIX:
            continue
        rest = name[len(PREFIX) :].lower()
        if rest in _NOT_SETTINGS or rest.startswith(_TESTS):
            continue
        path = _variable_path(name, rest, names)
        if find_key(path) is None:
            raise unknown_variable(name, path)
        yield name, path


def _by_words(variable: str) -> tuple[list[str], str]:
    """Upstreams by their names; of one variable in several spellings the capitals come last, and win."""
    return variable.lower().split("__"), variable.swapcase()


def _variable_path(variable: str, rest: str, names: frozenset[str]) -> KeyPath:
    head, *middle = rest.split("__")
    if head != UPSTREAMS or len(middle) < 2:  # noqa: PLR2004 a name and a key
        return (head, *middle)
    typed = "__".join(middle[:-1])
    meant = [typed] if typed in names else [name for name in sorted(names) if name.replace("-", "_") == typed]
    if len(meant) > 1:
        problem = f"may mean each of the upstreams {', '.join(map(printable, meant))}"
        raise ConfigError(printable(variable), problem, "rename one of them")
    return (UPSTREAMS, *(meant or [typed]), middle[-1])


def from_credentials(environ: Mapping[str, str], cwd: Path, names: frozenset[str]) -> Iterator[Given]:
    """What systemd's credentials say about the database and about upstreams that are configured; never a new one."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return
    wanted: dict[str, KeyPath] = {"database-url": ("database_url",)}
    wanted |= {
        f"upstream-{name}-token": (UPSTREAMS, name, "token") for name in sorted(names) if NAME_PATTERN.fullmatch(name)
    }
    for credential, path in wanted.items():
        for name in (f"{folder}{credential}" for folder in _FOLDERS):
            if (text := _read_credential(cwd / directory, name)) is not None:
                yield Given(path=path, value=text, origin=f"credential {printable(name)}")
                break


def _read_credential(directory: Path, name: str) -> str | None:
    try:
        return (directory / name).read_text(encoding="utf-8").rstrip("\r\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        problem, fix = f"cannot be read ({error.strerror})", "let the user that runs tracker read it"
    except ValueError:
        problem, fix = "is not UTF-8 text", "write the secret alone, as text"
    raise ConfigError(f"credential {printable(name)}", problem, fix)

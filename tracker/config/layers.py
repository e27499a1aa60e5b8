"""The layers of the configuration, and who wins: command line, environment, credentials, file, defaults."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from tracker.config.addresses import absolute_database_url, sqlite_url
from tracker.config.file import find_file, read_table
from tracker.config.keys import KeyPath, dotted, find_key, paths, printable
from tracker.config.problems import DEFAULT, bad_value, unknown_dialect
from tracker.config.settings import DIALECTS, Settings
from tracker.config.sources import (
    Given,
    from_command_line,
    from_credentials,
    from_environment,
    from_table,
    left_empty,
    upstreams_in,
)

SYSTEM_PATH = Path("/etc/tracker/tracker.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings in force, and where each of them comes from."""

    settings: Settings
    origins: Mapping[str, str]
    """By dotted key: `command line`, `environment TRACKER_X`, `credential x`, `file /path` or `default`."""
    path: Path | None
    """The file that was read, if there was one."""


def load(
    *,
    config_path: Path | None,
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: Path = Path(),
    system_path: Path = SYSTEM_PATH,
) -> Loaded:
    """Read every layer once; ConfigError for the first key that is unknown or has a bad value.

    `overrides` are the command line's, by dotted key; those that are None were not given.
    """
    here = cwd.absolute()
    path = find_file(config_path, environ, here, system_path)
    file = list(from_table(read_table(path), f"file {printable(str(path))}")) if path else []
    line = list(from_command_line(overrides))
    variables = list(from_environment(environ, upstreams_in([*file, *line])))
    credentials = list(from_credentials(environ, here, upstreams_in([*file, *line, *variables])))
    defaults = [Given(path=("database_url",), value=_default_database(environ, here), origin=DEFAULT)]
    emptied = left_empty(environ, upstreams_in([*file, *line, *variables]))
    settings, origins = _validate([*defaults, *file, *credentials, *variables, *line], emptied)
    database_url = absolute_database_url(settings.database_url, here)
    return Loaded(settings=settings.model_copy(update={"database_url": database_url}), origins=origins, path=path)


def _default_database(environ: Mapping[str, str], cwd: Path) -> str:
    """A file in the directory that systemd made for us (the first, if it made several), or where we stand."""
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return sqlite_url(cwd / state / "tracker.db")


def _validate(given: Iterable[Given], emptied: Mapping[KeyPath, str]) -> tuple[Settings, dict[str, str]]:
    """The settings that the values make, later ones on top of earlier ones, and the origin of every key."""
    tree: dict[str, object] = {}
    set_by: dict[str, str] = {}
    for one in given:
        _lay(tree, one)
        if find_key(one.path):
            set_by[dotted(one.path)] = one.origin
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        # Pydantic's own text repeats the values, secrets included.
        raise bad_value(error, {dotted(path): origin for path, origin in emptied.items()} | set_by) from None
    for name, upstream in settings.upstreams.items():
        if upstream.dialect not in DIALECTS:
            raise unknown_dialect(name, upstream.dialect, set_by)
    return settings, {key: set_by.get(key, DEFAULT) for key in map(dotted, paths(settings.upstreams))}


def _lay(tree: dict[str, object], given: Given) -> None:
    table = tree
    for part in given.path[:-1]:
        # Only tables stand at these places: plain values were refused before.
        table = cast("dict[str, object]", table.setdefault(part, {}))
    if find_key(given.path):
        table[given.path[-1]] = given.value
    else:
        table.setdefault(given.path[-1], {})

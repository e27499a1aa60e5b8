"""The configuration file: which one, and the table in it."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from tracker.config.keys import printable
from tracker.errors import ConfigError


def find_file(named: Path | None, environ: Mapping[str, str], cwd: Path, system_path: Path) -> Path | None:
    """The file to read: the named one, else the first that exists; ConfigError where a named one does not."""
    variable = environ.get("TRACKER_CONFIG")
    if named is not None:
        return _existing(cwd / named, "--config")
    if variable:
        return _existing(cwd / variable, "TRACKER_CONFIG")
    return next((path for path in (cwd / "tracker.toml", system_path) if _exists(path)), None)


def _existing(path: Path, said_by: str) -> Path:
    if not _exists(path):
        raise ConfigError(said_by, f"there is no file {printable(str(path))}", "name one that exists, or none")
    return path


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        # A file that may be there must not be passed over: tracker would work on another database.
        raise _unreadable(path, error) from None


def read_table(path: Path) -> dict[str, object]:
    """What the file says; ConfigError with file and line where it is not TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _broken(path, line, "is not UTF-8 text", "save the file as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        problem = re.sub(r" \(at [^)]*\)$", "", str(error))
        raise _broken(path, line, f"is not TOML ({problem})", "texts need quotes, tables [brackets]") from None
    except (ValueError, RecursionError):
        raise _broken(path, 1, "is not a configuration", "take away huge numbers and deep nesting") from None


def _unreadable(path: Path, error: OSError) -> ConfigError:
    problem = f"cannot be read ({error.strerror})"
    return ConfigError(printable(str(path)), problem, "let the user that runs tracker read it")


def _broken(path: Path, line: int, problem: str, fix: str) -> ConfigError:
    return ConfigError(f"{printable(str(path))}, line {line}", printable(problem), fix)

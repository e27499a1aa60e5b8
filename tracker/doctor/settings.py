"""Which configuration is looked at: the one that the caller names, else that of the service."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tracker import config
from tracker.config.addresses import MASK
from tracker.config.file import find_file
from tracker.doctor.configuration import ConfigFacts
from tracker.doctor.host import Host, environment_of_service
from tracker.doctor.service import Unit
from tracker.errors import ConfigError

_SAYS_NOTHING = frozenset({"TRACKER_URL", "TRACKER_TOKEN", "TRACKER_SECRET"})
"""Variables of the command line, which no daemon reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line names."""

    config_path: Path | None = None
    database_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What came of reading it."""

    facts: ConfigFacts
    loaded: config.Loaded | None
    host: Host
    """With the environment that it was read with."""


def read_settings(host: Host, asked: Asked, units: Sequence[Unit]) -> Read:
    """Read it as the daemon would; a mistake is among the facts."""
    if _names_nothing(host, asked):
        host = replace(host, environ={**host.environ, **environment_of_service(host, units)})
    path = None
    try:
        path = find_file(asked.config_path, host.environ, host.cwd, host.system_path)
        loaded = config.load(
            config_path=asked.config_path,
            overrides={"database_url": asked.database_url},
            environ=host.environ,
            cwd=host.cwd,
            system_path=host.system_path,
        )
    except ConfigError as error:
        return Read(facts=ConfigFacts(path=path, error=error), loaded=None, host=host)
    facts = ConfigFacts(path=loaded.path, upstreams=len(loaded.settings.upstreams))
    return Read(facts=facts, loaded=loaded, host=host)


def _names_nothing(host: Host, asked: Asked) -> bool:
    named = any(name.startswith("TRACKER_") and name not in _SAYS_NOTHING for name in host.environ)
    return not (named or asked.config_path or asked.database_url or (host.cwd / "tracker.toml").exists())


def secrets_in_file(loaded: config.Loaded) -> bool:
    """Whether the file itself tells what nobody else may know."""
    return any(MASK in value and origin.startswith("file ") for _, value, origin in config.show(loaded))

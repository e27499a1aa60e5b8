"""Reading the configuration again while the daemon runs: what changed, what of it can be put in force, what waits."""

from collections.abc import Mapping
from dataclasses import dataclass

from tracker.config.keys import KeyPath, dotted, paths
from tracker.config.settings import Settings

AT_A_START = ("database_url", "listen", "operator_callback_url", "callbacks")
"""Settings whose parts of the daemon live as long as it does; all the others can change while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What reading it again brought."""

    settings: Settings
    """What is to be in force from now on."""
    changed: tuple[str, ...]
    """The keys whose new values are."""
    waiting: tuple[str, ...]
    """The keys whose new values need a start."""


def reload(before: Settings, read: Settings) -> Reloaded:
    """What is in force after `read` was read, where `before` was until now."""
    settings = read.model_copy(update={name: getattr(before, name) for name in AT_A_START})
    names = dict.fromkeys((*before.upstreams, *read.upstreams))
    differing = [path for path in paths(names) if _value(before, path) != _value(read, path)]
    return Reloaded(
        settings=settings,
        changed=tuple(dotted(path) for path in differing if path[0] not in AT_A_START),
        waiting=tuple(dotted(path) for path in differing if path[0] in AT_A_START),
    )


def _value(settings: Settings, path: KeyPath) -> object:
    value: object = settings
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value

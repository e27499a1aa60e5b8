"""Whether the configuration can be used. Pure."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from tracker.doctor.findings import AS_ROOT, Finding, fine, wrong
from tracker.errors import ConfigError

CHECK = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFacts:
    """What came of reading the configuration."""

    path: Path | None
    """The file that was read, or that the mistake is in."""
    upstreams: int = 0
    error: ConfigError | None = None


def judge_config(facts: ConfigFacts) -> Finding:
    """The first mistake, or what there is."""
    edit = f"sudoedit {quote(str(facts.path))} && tracker config check" if facts.path else "tracker config check"
    if facts.error is not None and facts.error.problem.startswith("cannot be read"):
        return wrong(CHECK, str(facts.error), AS_ROOT)
    if facts.error is not None:
        return wrong(CHECK, str(facts.error), edit)
    place = str(facts.path) if facts.path else "no file: environment and defaults"
    if not facts.upstreams:
        cause = f"no upstream is configured ({place}), so there is nothing to watch"
        return wrong(CHECK, cause, edit if facts.path else "tracker config example > tracker.toml")
    return fine(CHECK, f"{place}; upstreams: {facts.upstreams}")

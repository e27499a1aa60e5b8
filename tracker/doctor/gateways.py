"""Whether the gateways answer, take our token, and are watched. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from tracker.doctor.findings import Finding, doubtful, fine, wrong
from tracker.model import MissKind
from tracker.store.inspection import Inspection

WATCHING = "watching"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFacts:
    """What one upstream said when it was asked about a task that does not exist."""

    name: str
    base_url: str
    has_token: bool
    miss: MissKind | None = None
    """Why it said nothing usable; None where it answered as if it knew the task."""
    detail: str = ""
    change_address: str = "tracker config show"
    change_token: str = "tracker config show"  # noqa: S105 - what to type for it
    """What changes these settings."""
    is_in_credential: bool = False
    """Whether its token is a credential of the service, which nobody else sees while that is stopped."""


def judge_gateway(facts: GatewayFacts) -> Finding:
    """Reachable, and our token accepted."""
    check = f"upstream {facts.name}"
    match facts.miss:
        case None | MissKind.UNKNOWN:
            return fine(check, f"{_place(facts)} answers{_and_token(facts)}")
        case MissKind.REFUSED:
            return _judge_refusal(check, facts)
        case MissKind.THROTTLED:
            cause = f"{_place(facts)} asks for fewer requests: upstreams.{facts.name}.max_requests_per_second"
            return doubtful(check, cause, "tracker upstreams")
        case MissKind.UNUSABLE:
            cause = f"{_place(facts)} answers, but as no gateway does ({facts.detail}): upstreams.{facts.name}.base_url"
            return wrong(check, cause, facts.change_address)
        case _:
            cause = f"{_place(facts)} is out of reach: {facts.detail}"
            return wrong(check, cause, f"curl -sv -o /dev/null {_origin(facts.base_url)}/")


def _judge_refusal(check: str, facts: GatewayFacts) -> Finding:
    key = f"upstreams.{facts.name}"
    if facts.has_token:
        cause = f"{_place(facts)} refuses the token ({facts.detail}): look at {key}.token and {key}.auth"
        return wrong(check, cause, facts.change_token)
    if facts.is_in_credential:
        cause = f"{_place(facts)} wants a token, which is a credential that only the service sees, once it has started"
        return doubtful(check, cause, "systemctl restart tracker && tracker doctor")
    return wrong(check, f"{_place(facts)} wants a token, and none is configured: {key}.token", facts.change_token)


def _and_token(facts: GatewayFacts) -> str:
    return " and takes the token" if facts.has_token else ", without a token"


def _origin(base_url: str) -> str:
    """Without its path, in which there may be a secret."""
    scheme, netloc, *_ = urlsplit(base_url)
    return f"{scheme}://{netloc.rpartition('@')[2]}"


def _place(facts: GatewayFacts) -> str:
    return _origin(facts.base_url)


def judge_watching(found: Inspection, configured: frozenset[str]) -> Iterator[Finding]:
    """Upstreams that the daemon leaves alone, and tasks that nobody looks at."""
    is_well = True
    for name, health in (found.upstreams or {}).items():
        if health.state == "paused" and name in configured:
            is_well = False
            yield doubtful(WATCHING, f"upstream {name} is left alone: {health.reason}", "tracker upstreams")
    for name, count in (found.live_tasks or {}).items():
        if name not in configured:
            is_well = False
            cause = f"{count} live tasks belong to the upstream {name}, which is not configured: nobody looks at them"
            yield wrong(WATCHING, cause, "tracker upstreams; tracker list --limit 20")
    if is_well:
        live = sum((found.live_tasks or {}).values())
        yield fine(
            WATCHING, f"{live} live tasks" if found.live_tasks is not None else "more live tasks than can be told"
        )

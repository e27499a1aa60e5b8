"""Which provider speaks which dialect, and how it reaches its upstream."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from tracker import __version__
from tracker.clock import Clock
from tracker.config import UpstreamSettings
from tracker.errors import ConfigError
from tracker.http import AS_IT_IS, Client, ExchangeError, Exchanges, Fixed, Request, parse_retry_after
from tracker.model import Miss, MissKind
from tracker.providers.midjourney import Addresses, Batching, BatchMode, Fetch, Midjourney, Reply, credentials
from tracker.providers.midjourney.answers import BODY_LIMIT
from tracker.providers.protocol import Provider

_USER_AGENT = f"tracker/{__version__}"


def build(name: str, settings: UpstreamSettings, client: Client, clock: Clock) -> Provider:
    """The provider of one configured upstream; raises ConfigError for a dialect that nobody speaks."""
    make = _DIALECTS.get(settings.dialect)
    if make is None:
        known = ", ".join(sorted(_DIALECTS))
        raise ConfigError(f"upstreams.{name}.dialect", "there is no such dialect", f"use one of: {known}")
    return make(settings, client, clock)


def _midjourney(settings: UpstreamSettings, client: Client, clock: Clock) -> Provider:
    return Midjourney(
        addresses=Addresses.of(settings.base_url),
        headers=credentials(settings.auth, settings.token.get_secret_value() if settings.token else None),
        fetch=fetch_with(client, settings.timeout, clock),
        batching=Batching.of(BatchMode(settings.batch), settings.batch_size),
        timeout=settings.timeout,
        clock=clock,
    )


_DIALECTS: Mapping[str, Callable[[UpstreamSettings, Client, Clock], Provider]] = {"midjourney": _midjourney}


def fetch_with(client: Client, timeout: timedelta, clock: Clock) -> Fetch:
    """One exchange with an upstream, in a provider's terms: a reply, or the miss that there was none."""
    exchanges = Exchanges(client, deadline=timeout, max_bytes=BODY_LIMIT, body_grace=timeout, inflate=True)

    given: Mapping[str, str] = {}
    fixed = Fixed()

    async def fetch(method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Reply | Miss:
        nonlocal given, fixed
        if content is not None:
            request = Request(method=method, url=url, headers=_all_of(headers), content=content)
        else:
            # A provider gives the same headers with each request for a single task.
            if headers is not given:
                given, fixed = headers, Fixed(_all_of(headers))
            request = Request(method=method, url=url, headers=fixed)
        try:
            answer = await exchanges.do(request)
        except ExchangeError as error:
            return _unreached(error)
        return Reply(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            truncated=answer.truncated,
            broken=answer.body_error,
            retry_after=parse_retry_after(answer.headers["retry-after"], clock())
            if "retry-after" in answer.headers
            else None,
        )

    return fetch


def _all_of(headers: Mapping[str, str]) -> dict[str, str]:
    return {"user-agent": _USER_AGENT, **headers, **AS_IT_IS}


def _unreached(error: ExchangeError) -> Miss:
    if error.error == "blocked":
        return Miss(kind=MissKind.UNUSABLE, detail="base_url is no address that may be called")
    return Miss(kind=MissKind.TRANSIENT, detail=f"{error.detail} ({error.phase})")

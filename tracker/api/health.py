"""Whether the daemon lives, whether it is ready, and its numbers: for machines, mostly without a token."""

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.responses import PlainTextResponse

from tracker.api.answer import Answer
from tracker.api.auth import must_be
from tracker.api.openapi import problems
from tracker.api.ports import Ports
from tracker.api.problems import problem
from tracker.api.shapes import Sound
from tracker.errors import UnavailableError
from tracker.store.access import has_tokens

router = APIRouter(tags=["health"], default_response_class=Answer)
ANSWER_WITHIN_SECONDS = 2.0
_OK: Sound = {"status": "ok"}


@router.get("/healthz", summary="Say whether the loops live", responses={200: {"model": Sound}, **problems(503)})
async def healthz(ports: Ports) -> Response:
    """503 names the loops that are late."""
    return _late(ports) or Answer(_OK)


@router.get(
    "/readyz", summary="Say whether the database answers too", responses={200: {"model": Sound}, **problems(503)}
)
async def readyz(ports: Ports) -> Response:
    """503 when a loop is late, or the database does not answer in time."""
    if late := _late(ports):
        return late
    try:
        async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
            await ports.database.read(has_tokens)
    except TimeoutError:
        raise UnavailableError("the database does not answer") from None
    return Answer(_OK)


def _late(ports: Ports) -> Response | None:
    late = ports.pulse.late()
    if not late:
        return None
    loops = ", ".join(f"{loop} (silent for {seconds:.0f} s)" for loop, seconds in sorted(late.items()))
    return problem(503, f"late: {loops}")


@router.get(
    "/metrics",
    summary="Show the metrics to Prometheus",
    response_class=PlainTextResponse,
    responses=problems(401, 403, 503),
)
async def metrics(request: Request, ports: Ports) -> Response:
    """Prometheus' text format. Needs a token where the operator says so (`metrics.scope`)."""
    if (scope := ports.settings.metrics.scope) is not None:
        await must_be(request, scope)
    content, content_type = ports.metrics.exposition()
    return Response(content, media_type=content_type)

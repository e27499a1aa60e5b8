"""Opening and closing an endpoint by hand, whichever door somebody asks through."""

from collections.abc import Callable
from functools import partial

import structlog

from tracker.desk.ports import Ports
from tracker.intake import Caller
from tracker.store import endpoints, receivers
from tracker.store.database import Connection
from tracker.store.endpoints import Turn
from tracker.telling import EndpointAnswer, tell_endpoint

_log = structlog.get_logger()
_Change = Callable[[Connection, int], Turn]


async def enable(ports: Ports, id_: str, caller: Caller) -> EndpointAnswer:
    """Send to an endpoint again, beginning with what waits for it; raises NotFoundError."""
    told = await _change(ports, id_, partial(endpoints.enable, now=ports.clock()))
    _log.info("endpoint_enabled", endpoint=told["endpoint"], by=caller.owner)
    ports.wake_courier()
    return told


async def disable(ports: Ports, id_: str, caller: Caller) -> EndpointAnswer:
    """Send nothing to an endpoint until somebody enables it; raises NotFoundError."""
    close = partial(endpoints.disable, reason=f"disabled by {caller.owner}", now=ports.clock())
    told = await _change(ports, id_, close)
    _log.warning("endpoint_disabled", endpoint=told["endpoint"], reason=told["reason"])
    return told


async def _change(ports: Ports, id_: str, change: _Change) -> EndpointAnswer:
    def work(connection: Connection) -> tuple[Turn, EndpointAnswer]:
        turn = change(connection, receivers.get(connection, id_, owner=None).key)
        return turn, tell_endpoint(receivers.get(connection, id_, owner=None))

    turn, told = await ports.database.write(work)
    if turn.is_new_state:
        ports.metrics.endpoint_turns.labels(told["state"]).inc()
    return told

"""Tells the operator what became of endpoints: one message at a time, on the schedule that deliveries have."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from tracker.cadence import retry_delay
from tracker.config import CallbackSettings
from tracker.courier.ports import Ports
from tracker.courier.writing import CLAIM_MARGIN, written
from tracker.model import Notice, Outcome
from tracker.store import access, notices
from tracker.store.database import Connection

log = structlog.get_logger()

OWNER = "admin"
"""Whose secret signs."""
_AFTER_OUR_OWN_FAULT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorMessage:
    """A notice on its way."""

    id: str
    url: str
    body: str


class Announcer:
    """Sends what the operator is to be told to one URL."""

    def __init__(self, url: str, settings: CallbackSettings, ports: Ports) -> None:
        self._url = url
        self._settings = settings
        self._ports = ports

    async def run_once(self) -> bool:
        """Make one attempt for the notice that is due longest; False where none is due."""
        if not await self._ports.database.read(partial(notices.is_due, now=self._ports.clock())):
            return False
        claimed = await self._ports.database.write(self._claim)
        if claimed is None:
            return False
        notice, secrets = claimed
        message = OperatorMessage(id=notice.id, url=self._url, body=notice.body)
        await self._settle(notice, await self._ports.sender.send(message, secrets))
        return True

    def _claim(self, connection: Connection) -> tuple[Notice, Sequence[str]] | None:
        now = self._ports.clock()
        notice = notices.claim(connection, now=now, until=now + self._settings.timeout + CLAIM_MARGIN)
        if notice is None:
            return None
        return notice, access.secrets_of(connection, OWNER, now=now, fresh=self._ports.new_secret())

    async def _settle(self, notice: Notice, outcome: Outcome) -> None:
        now = self._ports.clock()
        again_at = self._next_attempt_at(notice, outcome, now)
        work = partial(notices.settle, claimed=notice, outcome=outcome, now=now, next_attempt_at=again_at)
        is_ours = await written(partial(self._ports.database.write, work), notice=notice.id)
        if is_ours:
            self._tell(notice, outcome, again_at)

    def _next_attempt_at(self, notice: Notice, outcome: Outcome, now: datetime) -> datetime | None:
        if outcome.delivered or outcome.gone:
            return None
        if not outcome.spent:
            return now + _AFTER_OUR_OWN_FAULT
        delay = retry_delay(
            notice.failures + 1,
            schedule=self._settings.retry_schedule,
            retry_after=outcome.retry_after,
            dice=self._ports.dice(),
        )
        return None if delay is None else now + delay

    def _tell(self, notice: Notice, outcome: Outcome, again_at: datetime | None) -> None:
        bound = log.bind(notice=notice.id, type=str(notice.message_type), attempt=notice.attempt)
        metric = self._ports.metrics.operator_messages
        if outcome.delivered:
            metric.labels("delivered").inc()
            bound.info("operator_told", status_code=outcome.status_code)
        elif again_at is not None:
            metric.labels("failed").inc()
            bound.warning("operator_not_told", reason=outcome.said, next_attempt_at=again_at)
        else:
            metric.labels("dead").inc()
            bound.error("operator_message_dead", reason=outcome.said)

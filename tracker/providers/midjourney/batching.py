"""Whether an upstream is asked for many tasks at once, and how many: a state that learns from answers. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from tracker.model import Miss, MissKind

RETRY_LISTS_AFTER = timedelta(minutes=30)
"""How long single fetches are used before the list call is tried again."""
GROW_AFTER = 20
"""Full list calls in a row that must go well before a reduced batch is doubled."""
SILENCES_BEFORE_DOUBT = 3
SMALL_LIST = 10
"""Ids that any list has room for: one that leaves out some of so few is not too large."""
GAPS_BEFORE_SINGLES = 3
"""Small incomplete lists in a row; one may be a task that got saved just then."""
_SMALLEST = 2


class BatchMode(StrEnum):
    """The setting: find out, always, never."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Verdict(StrEnum):
    """What a failed list call says about the list call itself."""

    MISSING = "missing"
    """There is no such call here."""
    TOO_LARGE = "too_large"
    """It would take fewer ids."""
    INCOMPLETE = "incomplete"
    """It left out an id that the upstream knows: cut to the newest, or it knows but some tasks."""
    FAULTY = "faulty"
    """The server broke or gave up: one broken row spoils every list that it is in, unless all is broken."""
    DOUBTFUL = "doubtful"
    """Refused: this call alone, unless the credential is."""
    NOTHING = "nothing"
    """It is about the upstream as a whole."""


_TOO_LARGE = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


def judge(status: int, miss: Miss, *, truncated: bool) -> Verdict:
    """What a list call that brought no list says."""
    if status in (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED):
        return Verdict.MISSING
    if miss.kind is MissKind.REFUSED:
        return Verdict.DOUBTFUL
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
        return Verdict.FAULTY
    if miss.kind is not MissKind.UNUSABLE:
        return Verdict.NOTHING
    return Verdict.TOO_LARGE if truncated or status in _TOO_LARGE else Verdict.MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How one upstream is asked just now."""

    mode: BatchMode
    most: int
    """Ids per list call, as configured."""
    size: int
    """Ids per list call, as learned."""
    is_proven: bool = False
    """Whether a list call has ever brought a task."""
    successes: int = 0
    silences: int = 0
    """List calls in a row that got no answer at all."""
    gaps: int = 0
    """Small lists in a row that were incomplete."""
    single_until: datetime | None = None

    @classmethod
    def of(cls, mode: BatchMode, batch_size: int) -> "Batching":
        """The state before anything is known."""
        return cls(mode=mode, most=max(batch_size, 1), size=max(batch_size, 1))

    @property
    def learns(self) -> bool:
        """Whether answers may change how the upstream is asked."""
        return self.mode is BatchMode.AUTO

    @property
    def insists(self) -> bool:
        """Whether the list call is used even for a single id."""
        return self.mode is BatchMode.ON

    def asks_lists(self, now: datetime) -> bool:
        """Whether the list call is to be used."""
        if self.mode is BatchMode.AUTO:
            return self.most > 1 and (self.single_until is None or now >= self.single_until)
        return self.mode is BatchMode.ON

    def look_size(self, now: datetime) -> int:
        """How many ids one request carries."""
        return self.size if self.mode is not BatchMode.OFF and self.asks_lists(now) else 1

    @property
    def doubts(self) -> bool:
        """Whether so many list calls got no answer that they may be what is too slow, not the upstream."""
        return self.learns and self.silences > 0 and self.silences % SILENCES_BEFORE_DOUBT == 0

    def worked(self, asked: int, *, found: bool) -> "Batching":
        """After a list call that answered; only full ones tell whether there is room for more."""
        after = replace(self, silences=0, gaps=0, is_proven=self.is_proven or found)
        if asked < self.size or self.size >= self.most:
            return after
        if self.successes + 1 < GROW_AFTER:
            return replace(after, successes=self.successes + 1)
        return replace(after, size=min(self.size * 2, self.most), successes=0)

    def unanswered(self) -> "Batching":
        """After a list call that got no answer."""
        return replace(self, silences=self.silences + 1)

    def after(self, verdict: Verdict, now: datetime, *, asked: int) -> "Batching":
        """After a list call for `asked` ids that failed; calls that failed side by side count once."""
        if not self.learns or verdict is Verdict.NOTHING:
            return self
        if verdict is Verdict.INCOMPLETE:
            return self._incomplete(now, asked)
        single_until = now + RETRY_LISTS_AFTER
        if verdict in (Verdict.MISSING, Verdict.DOUBTFUL):
            return replace(self, successes=0, silences=0, single_until=single_until)
        half = asked // 2
        if half < _SMALLEST:
            return replace(self, size=_SMALLEST, successes=0, silences=0, single_until=single_until)
        return replace(self, size=min(self.size, half), successes=0, silences=0)

    def _incomplete(self, now: datetime, asked: int) -> "Batching":
        after = replace(self, is_proven=True, successes=0, silences=0, gaps=0)
        if asked > SMALL_LIST:
            return replace(after, size=min(self.size, max(asked // 2, SMALL_LIST)))
        if self.gaps + 1 < GAPS_BEFORE_SINGLES:
            return replace(after, gaps=self.gaps + 1)
        return replace(after, single_until=now + RETRY_LISTS_AFTER)

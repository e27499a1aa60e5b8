"""The first page: is it alive and on time, how much there is, what happened, and what needs somebody."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from starlette.responses import Response

from tracker.config import UpstreamSettings
from tracker.model import DeliveryStatus, Status
from tracker.poller.presence import DEAD_AFTER
from tracker.store import deliveries, overview, overview_now, overview_owner, tasks, upstreams
from tracker.store.database import Connection
from tracker.store.overview import RANGES, Course, Range
from tracker.store.overview_now import DaemonLine, Trouble, Unended
from tracker.store.receivers import Count
from tracker.telling.shapes import UpstreamAnswer
from tracker.telling.translation import tell_upstream
from tracker.web.languages import Language
from tracker.web.pages import overview_charts
from tracker.web.visit import Visit
from tracker.web.words import N_

USUAL = "24h"
RANGE_NAMES = {
    "1h": N_("1 hour"),
    "6h": N_("6 hours"),
    "24h": N_("24 hours"),
    "7d": N_("7 days"),
    "30d": N_("30 days"),
    "90d": N_("90 days"),
}
OVERDUE_AFTER = timedelta(minutes=1)
"""A message that has been due for so long is late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the page shows, as the database has it."""

    is_empty: bool
    course: Course
    unended: Unended
    waiting: Count
    dead: Count
    overdue: timedelta | None
    """How long the most overdue message has waited; None where that is not for who asks."""
    troubles: Sequence[Trouble]
    daemons: Sequence[DaemonLine]
    upstreams: Sequence[UpstreamAnswer]


async def show(visit: Visit) -> Response:
    """All of it, for a range that the address names."""
    range_ = RANGES.get(visit.request.query_params.get("range", USUAL), RANGES[USUAL])
    configured = visit.ports.settings.upstreams
    look = _everything if visit.caller.sees_all else partial(_own, owner=visit.caller.owner)
    seen = await visit.ask(partial(look, range_=range_, now=visit.now, configured=configured))
    return visit.render(
        "overview.html",
        seen=seen,
        chosen=range_.name,
        ranges={name: visit.language.gettext(text) for name, text in RANGE_NAMES.items()},
        charts=overview_charts.charts(visit.language, range_, seen.course),
        signs=_signs(visit, seen),
        counters=_counters(visit.language, range_, seen),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A number that leads to what it counts."""

    address: str
    number: str
    text: str


def _counters(language: Language, range_: Range, seen: Seen) -> list[Tally]:
    _, span = language.gettext, language.gettext(RANGE_NAMES[range_.name])
    ended, bad = seen.course.ended, overview_charts.BAD_ENDS
    good = language.number(ended[Status.SUCCEEDED])
    failed = language.number(sum(ended[status] for status in bad))
    return [
        *(
            Tally(address=f"/tasks?status={status}", number=_number(language, count), text=language.word(status))
            for status, count in seen.unended.counts.items()
        ),
        Tally(address="/tasks?status=succeeded", number=good, text=_("succeeded in %(span)s") % {"span": span}),
        Tally(
            address=f"/tasks?status={','.join(bad)}",
            number=failed,
            text=_("failed, lost or expired in %(span)s") % {"span": span},
        ),
        Tally(address="/deliveries?status=pending", number=_number(language, seen.waiting), text=_("messages waiting")),
        Tally(address="/deliveries?status=dead", number=_number(language, seen.dead), text=_("messages dead")),
    ]


def _number(language: Language, count: Count) -> str:
    return language.number(count.found) if count.is_all else f"{language.number(count.found)}+"


def _everything(
    connection: Connection, *, range_: Range, now: datetime, configured: Mapping[str, UpstreamSettings]
) -> Seen:
    count = partial(overview_now.count_messages, connection, owner=None)
    daemons = overview_now.watchers(connection, now=now)
    return Seen(
        is_empty=_is_empty(connection, None),
        course=overview.course(connection, range_, now=now),
        unended=overview_now.unended(connection, owner=None),
        waiting=count(DeliveryStatus.PENDING),
        dead=count(DeliveryStatus.DEAD),
        overdue=timedelta(seconds=deliveries.oldest_due_seconds(connection, now=now)),
        troubles=overview_now.in_trouble(connection, owner=None),
        daemons=daemons,
        upstreams=_upstreams(connection, configured, _watched(daemons)),
    )


def _own(
    connection: Connection, *, owner: str, range_: Range, now: datetime, configured: Mapping[str, UpstreamSettings]
) -> Seen:
    latest = overview_owner.latest(connection, range_, owner=owner, now=now)
    count = partial(overview_now.count_messages, connection, owner=owner)
    return Seen(
        is_empty=_is_empty(connection, owner),
        course=latest.course,
        unended=overview_now.unended(connection, owner=owner),
        waiting=latest.at_least(DeliveryStatus.PENDING, count(DeliveryStatus.PENDING)),
        dead=latest.at_least(DeliveryStatus.DEAD, count(DeliveryStatus.DEAD)),
        overdue=None,
        troubles=overview_now.in_trouble(connection, owner=owner, among=latest.endpoint_keys),
        daemons=overview_now.watchers(connection, now=now),
        upstreams=_upstreams(connection, configured, Counter()),
    )


def _is_empty(connection: Connection, owner: str | None) -> bool:
    return not tasks.page(connection, tasks.Filter(limit=1), owner=owner)


def _watched(daemons: Sequence[DaemonLine]) -> Counter[str]:
    """Live tasks by upstream, as those who watch them say: nobody has to count a million for that."""
    found: Counter[str] = Counter()
    for one in daemons:
        found.update(one.watching)
    return found


def _upstreams(
    connection: Connection, configured: Mapping[str, UpstreamSettings], watched: Counter[str]
) -> list[UpstreamAnswer]:
    known = upstreams.read(connection)
    return [tell_upstream(name, settings, known.get(name), watched[name]) for name, settings in configured.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One sign of life, or of trouble."""

    is_good: bool
    text: str


def _signs(visit: Visit, seen: Seen) -> list[Sign]:
    return [*_of_daemons(visit, seen.daemons), _of_loops(visit), *_of_messages(visit.language, seen.overdue)]


def _of_daemons(visit: Visit, daemons: Sequence[DaemonLine]) -> list[Sign]:
    _, language = visit.language.gettext, visit.language
    there = [one for one in daemons if not one.is_gone]
    if not there:
        return [Sign(is_good=False, text=_("No daemon watches: nothing is looked at and nothing is sent."))]
    if not visit.caller.sees_all:
        there = there[:1]
    signs = []
    for one in there:
        is_good = one.silent_for < DEAD_AFTER
        since = language.duration(max(one.silent_for, timedelta(0)))
        if not visit.caller.sees_all:
            signs.append(Sign(is_good=is_good, text=_("Watched, last sign of life %(span)s ago") % {"span": since}))
            continue
        told = {"host": one.host, "pid": one.pid, "version": one.version, "span": since}
        text = _("Daemon %(version)s on %(host)s (process %(pid)s), last sign of life %(span)s ago") % told
        signs.append(Sign(is_good=is_good, text=text))
    return signs


def _of_loops(visit: Visit) -> Sign:
    late = visit.ports.pulse.late()
    if not late:
        return Sign(is_good=True, text=visit.language.gettext("Every loop is on time"))
    names = ", ".join(sorted(late))
    longest = visit.language.duration(timedelta(seconds=max(late.values())))
    text = visit.language.gettext("Late: %(loops)s, for %(span)s at most; its log says why")
    return Sign(is_good=False, text=text % {"loops": names, "span": longest})


def _of_messages(language: Language, overdue: timedelta | None) -> list[Sign]:
    if overdue is None:
        return []
    if overdue < OVERDUE_AFTER:
        return [Sign(is_good=True, text=language.gettext("No message is overdue"))]
    text = language.gettext("A message has been due for %(span)s and is not sent")
    return [Sign(is_good=False, text=text % {"span": language.duration(overdue)})]

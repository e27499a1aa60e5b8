"""The charts of the overview, each with a table that says the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial

from tracker.model import Status
from tracker.store.overview import Course, LengthStep, Range, together
from tracker.store.overview_lengths import Lengths
from tracker.web.charts import Chart, Column, Part, nested, stacked
from tracker.web.languages import Language

_DAY = timedelta(days=1)
BAD_ENDS = (Status.FAILED, Status.LOST, Status.EXPIRED)
HALF, NEARLY_ALL = 0.5, 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chart, and all that is said about it."""

    name: str = ""
    """Part of its id."""
    title: str = ""
    says: str = ""
    """What it shows, with the numbers of the whole range."""
    chart: Chart
    most: str
    """What the highest bar stands for."""
    legend: Sequence[tuple[str, str]]
    """Classes and their words."""
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    """What the bars say, as a table."""
    is_empty: bool


class _Texts:
    """Numbers and spans as a language writes them, each made once: most of them stand in a chart and in its table."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.number = cache(language.number)
        self.span = cache(partial(_span, language))


def charts(language: Language, range_: Range, course: Course) -> list[Shown]:
    """What ended, what was delivered, and how long both took."""
    texts = _Texts(language)
    detect = _lengths(texts, range_, course, lambda step: step.detect)
    deliver = _lengths(texts, range_, course, lambda step: step.deliver)
    return [
        _ends(texts, range_, course),
        _messages(texts, range_, course),
        replace(detect, name="detect", title=language.gettext("From the end of a task until it was seen")),
        replace(deliver, name="deliver", title=language.gettext("From the end of a task until its message arrived")),
    ]


def moment_in(range_: Range, step: timedelta, at: datetime) -> str:
    """When a step begins, as short as the range allows, in UTC."""
    if step >= _DAY:
        return f"{at:%Y-%m-%d}"
    return f"{at:%H:%M}" if range_.span <= _DAY else f"{at:%m-%d %H:%M}"


def _ends(texts: _Texts, range_: Range, course: Course) -> Shown:
    language = texts.language
    _ = language.gettext
    kinds = (("ok", _("succeeded")), ("bad", _("failed, lost or expired")), ("other", _("cancelled or dropped")))
    counts = []
    for step in course.steps:
        good, bad = step.ended[Status.SUCCEEDED], sum(step.ended[status] for status in BAD_ENDS)
        counts.append((good, bad, step.ended.total() - good - bad))
    good, total = course.ended[Status.SUCCEEDED], course.ended.total()
    text = language.ngettext("%(num)s task ended", "%(num)s tasks ended", total) % {"num": texts.number(total)}
    if total:
        # Not in braces: what is looked up there is not found by what fills the catalogues.
        share = _("%(share)s succeeded") % {"share": language.percent(good / total)}
        text = f"{text} · {share}"
    shown = _counted(texts, range_, course, kinds, counts)
    return replace(shown, name="ended", title=_("Tasks that ended"), says=text)


def _messages(texts: _Texts, range_: Range, course: Course) -> Shown:
    language = texts.language
    _ = language.gettext
    kinds = (("ok", _("delivered")), ("bad", _("dead")))
    counts = [(step.settled["delivered"], step.settled["dead"]) for step in course.steps]
    delivered, dead = course.settled["delivered"], course.settled["dead"]
    text = language.ngettext("%(num)s message delivered", "%(num)s messages delivered", delivered)
    text %= {"num": texts.number(delivered)}
    if dead:
        given_up = language.ngettext("%(num)s given up", "%(num)s given up", dead) % {"num": texts.number(dead)}
        text = f"{text} · {given_up}"
    shown = _counted(texts, range_, course, kinds, counts)
    return replace(shown, name="settled", title=_("Messages"), says=text)


def _counted(
    texts: _Texts,
    range_: Range,
    course: Course,
    kinds: Sequence[tuple[str, str]],
    counts: Sequence[Sequence[int]],
) -> Shown:
    """Bars of what stands for one thing each; their name and what they say is for the caller to add."""
    columns, rows = [], []
    for step, here in zip(course.steps, counts, strict=True):
        when = moment_in(range_, range_.step, step.starts_at)
        parts = [Part(kind=kind, value=count) for (kind, _), count in zip(kinds, here, strict=True)]
        said = [f"{texts.number(count)} {word}" for (_, word), count in zip(kinds, here, strict=True) if count]
        columns.append(Column(at=step.starts_at, parts=parts, says=f"{when}: {', '.join(said) or '0'}"))
        rows.append([when, *(texts.number(count) for count in here)])
    chart = stacked(columns)
    return Shown(
        chart=chart,
        most=texts.number(chart.most),
        legend=kinds,
        head=[texts.language.gettext("From (UTC)"), *(word for _, word in kinds)],
        rows=rows,
        is_empty=chart.most == 0,
    )


def _lengths(texts: _Texts, range_: Range, course: Course, of: Callable[[LengthStep], Lengths]) -> Shown:
    """Bars of how long it took: one for nearly all, and before it one for half."""
    language = texts.language
    _ = language.gettext
    nearly_all, half = _("19 of 20 within"), _("half within")
    columns, rows = [], []
    for step in course.lengths:
        lengths, when = of(step), moment_in(range_, range_.length_step, step.starts_at)
        most, middle = lengths.within(NEARLY_ALL), lengths.within(HALF)
        said = (texts.span(middle), texts.span(most))
        parts = [Part(kind="most", value=most or 0), Part(kind="half", value=middle or 0)]
        told = f"{half} {said[0]}, {nearly_all} {said[1]}" if lengths.times else "-"
        columns.append(Column(at=step.starts_at, parts=parts, says=f"{when}: {told}"))
        rows.append([when, *said, texts.number(lengths.times)])
    chart, whole = nested(columns), together(map(of, course.lengths))
    text = _("Half within %(half)s, 19 of 20 within %(most)s")
    spans = {"half": texts.span(whole.within(HALF)), "most": texts.span(whole.within(NEARLY_ALL))}
    return Shown(
        says=text % spans if whole.times else _("Nothing to measure yet"),
        chart=chart,
        most=texts.span(chart.most),
        legend=[("half", half), ("most", nearly_all)],
        head=[_("From (UTC)"), half, nearly_all, _("How many")],
        rows=rows,
        is_empty=not whole.times,
    )


def _span(language: Language, seconds: float | None) -> str:
    return "-" if seconds is None else language.duration(timedelta(seconds=seconds))

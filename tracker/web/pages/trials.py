"""Testing a URL before anything depends on it: what came of it, step by step."""

import shlex
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from typing import Literal, NamedTuple

from pydantic import ValidationError
from starlette.responses import Response

from tracker.desk.trying import try_callback
from tracker.errors import InputError, ThrottledError
from tracker.intake import TrialRequest, explain
from tracker.model import Phase
from tracker.telling import TrialAnswer, tell_trial
from tracker.web.forms import Form
from tracker.web.visit import Visit

SKEW_WORTH_TELLING = timedelta(seconds=60)
"""Signatures are refused by receivers whose clock is five minutes off."""
FEW_DAYS = 14
"""Of a certificate: who is told has time to renew it."""


class Step(NamedTuple):
    """One part of an exchange, and how it went."""

    phase: Phase
    state: Literal["ok", "problem", "unreached"]


async def show(visit: Visit) -> Response:
    """The form; a link may have filled it in, but nothing is sent before somebody says so."""
    return _page(visit, url=visit.request.query_params.get("url", ""))


async def act(visit: Visit, form: Form) -> Response:
    """Send the test, and show what came of it: it is kept nowhere."""
    url = form.text("callback_url") or ""
    try:
        wanted = _wanted(url)
        trial = await try_callback(visit.ports, visit.desk, wanted, visit.caller)
    except InputError as error:
        told = visit.language.advice(error)
        return _page(visit, url=url, problem=told, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    except ThrottledError as error:
        text = visit.language.gettext("These are too many tests at once. Try again in %(seconds)s s.")
        answer = _page(visit, url=url, problem=text % {"seconds": error.retry_after}, status=error.http_status)
        answer.headers["retry-after"] = str(error.retry_after)
        return answer
    told_trial = tell_trial(trial)
    return _page(visit, url=url, trial=told_trial, steps=list(steps_of(url, told_trial)))


def _wanted(url: str) -> TrialRequest:
    try:
        return TrialRequest(callback_url=url)
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_input=False)[0]) from None


def steps_of(url: str, trial: TrialAnswer) -> Iterator[Step]:
    """The parts of the exchange in their order: what went well, where it broke, and what was not come to."""
    broke_at = Phase(trial["phase"]) if trial["phase"] else None
    if broke_at is None and trial["status_code"] is None:
        return
    is_past = False
    for phase in Phase:
        if phase is Phase.TLS and not url.lower().startswith("https:"):
            continue
        if phase is broke_at:
            yield Step(phase, "problem")
            is_past = True
        else:
            yield Step(phase, "unreached" if is_past else "ok")


def _page(
    visit: Visit,
    *,
    url: str,
    problem: str | None = None,
    trial: TrialAnswer | None = None,
    steps: list[Step] | None = None,
    status: int = 200,
) -> Response:
    skew = None if trial is None or trial["clock_skew_seconds"] is None else trial["clock_skew_seconds"]
    return visit.render(
        "trials.html",
        status=status,
        url=url,
        typed_url=shlex.quote(url or "https://you.example/hook"),
        problems={"callback_url": problem} if problem else {},
        trial=trial,
        steps=steps or [],
        duration=timedelta(milliseconds=trial["duration_ms"]) if trial else None,
        skew=None if skew is None else timedelta(seconds=abs(skew)),
        is_skewed=skew is not None and timedelta(seconds=abs(skew)) >= SKEW_WORTH_TELLING,
        few_days=FEW_DAYS,
    )

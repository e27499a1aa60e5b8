"""Signing in with a token of the API or a link, and out; and in which language and colours pages are shown."""

from starlette.responses import RedirectResponse, Response

from tracker.errors import InputError
from tracker.web import sessions
from tracker.web.forms import Form, is_from_elsewhere, must_be_from_here
from tracker.web.languages import LANGUAGES
from tracker.web.visit import THEMES, Visit

_A_YEAR = 365 * 24 * 3600


async def show(visit: Visit) -> Response:
    """The form to sign in with; a link that was made on the command line does without it."""
    query = visit.request.query_params
    # Who only looks whether something is there uses nothing up.
    if (link := query.get("link")) and visit.request.method == "GET":
        # Or a page elsewhere could have people work, and leave what they do, in an account of its maker.
        return _form(visit, link=link) if is_from_elsewhere(visit.request) else await _follow(visit, link)
    if visit.signed_in is not None:
        return RedirectResponse(_local(query.get("next")), status_code=303)
    return _form(visit)


def _form(visit: Visit, *, problem: str | None = None, link: str | None = None, wanted: str | None = None) -> Response:
    """Where to sign in; or with a link where to say that it is one's own."""
    wanted = _local(wanted or visit.request.query_params.get("next"))
    return visit.render("sign_in.html", status=403 if problem else 200, next=wanted, problem=problem, link=link)


def _used_up(visit: Visit) -> Response:
    text = visit.language.gettext("This link was used already, or is too old. Make a new one, or sign in with a token.")
    return _form(visit, problem=text)


async def _follow(visit: Visit, link: str) -> Response:
    session = await sessions.follow_link(visit.ports, link, before=sessions.presented_by(visit.request))
    if session is None:
        return _used_up(visit)
    # Not a redirect: of a browser that came from elsewhere it would be a step from elsewhere too, without the cookie.
    answer = visit.render("signed_in.html", next=_local(visit.request.query_params.get("next")))
    sessions.give(answer, visit.request, session)
    return answer


async def sign_in(visit: Visit, form: Form) -> Response:
    """Begin a session with a token, or with a link of which somebody said that it is theirs."""
    must_be_from_here(visit.request)
    before, link = sessions.presented_by(visit.request), form.text("link")
    if link is not None:
        session = await sessions.follow_link(visit.ports, link, before=before)
    else:
        session = await sessions.sign_in(visit.ports, visit.desk, form.text("token") or "", before=before)
    if session is None and link is not None:
        return _used_up(visit)
    if session is None:
        problem = visit.language.gettext("This token is unknown or revoked.")
        return _form(visit, problem=problem, wanted=form.text("next"))
    answer = RedirectResponse(_local(form.text("next")), status_code=303)
    sessions.give(answer, visit.request, session)
    return answer


async def sign_out(visit: Visit, _form: Form) -> Response:
    """End the session."""
    presented = sessions.presented_by(visit.request)
    if presented is not None:
        await sessions.sign_out(visit.ports, presented)
    answer = RedirectResponse("/sign-in", status_code=303)
    sessions.take_back(answer, visit.request)
    return answer


async def prefer(visit: Visit, form: Form) -> Response:
    """Remember a language and colours in this browser."""
    must_be_from_here(visit.request)
    answer = RedirectResponse(_local(form.text("next")), status_code=303)
    known = {"language": tuple(LANGUAGES), "theme": THEMES}
    for name, values in known.items():
        wanted = form.text(name)
        if wanted is None:
            continue
        if wanted not in values:
            raise InputError(name, "is none that there is", f"send one of: {', '.join(values)}")
        answer.set_cookie(name, wanted, max_age=_A_YEAR, httponly=True, samesite="strict")
    return answer


def _local(wanted: str | None) -> str:
    """A page of ours to go on to; the first one for anything else."""
    is_ours = wanted is not None and wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    clean = is_ours and wanted is not None and wanted.isprintable() and "\\" not in wanted
    return wanted if clean and wanted is not None else "/"

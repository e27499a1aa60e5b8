"""One visit to a page: who came, in which language they read, and what a page does for them."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tracker.desk import Desk, Ports
from tracker.errors import RefusedError
from tracker.intake import Caller
from tracker.store.database import Work
from tracker.web.languages import Language
from tracker.web.layers import POLICY_WITH_IMAGES
from tracker.web.rendering import Renderer
from tracker.web.sessions import is_over_tls

Kind = Literal["done", "problem"]
_Result = TypeVar("_Result")
THEMES = ("auto", "light", "dark")
_NOTICE = "tracker_notice"
_NOTICE_SECONDS = 60
_LARGEST_NOTICE = 2_800
"""Bytes: as it is written into the cookie it is a third larger, and browsers forget one of more than 4 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What became of what somebody did a moment ago."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of a person, signed in or not."""

    request: Request
    ports: Ports
    desk: Desk
    renderer: Renderer
    language: Language
    now: datetime
    signed_in: Caller | None = None
    csrf: str = ""

    @property
    def caller(self) -> Caller:
        """Who is signed in; raises RefusedError where nobody is."""
        if self.signed_in is None:
            raise RefusedError("nobody is signed in", http_status=401)
        return self.signed_in

    @property
    def path(self) -> str:
        """The path of this page; of what answers a form, that of the page on which the form stands."""
        return _page_around(self.request) if self.request.method == "POST" else self.request.url.path

    @property
    def here(self) -> str:
        """The address of this page, for links that come back to it."""
        query = self.request.url.query
        return f"{self.path}?{query}" if query else self.path

    @property
    def theme(self) -> str:
        """The colours that were chosen in this browser."""
        chosen = self.request.cookies.get("theme", "")
        return chosen if chosen in THEMES else THEMES[0]

    @property
    def is_part(self) -> bool:
        """Whether only what lives on the page is asked for, by the script that keeps it fresh."""
        return self.request.headers.get("hx-request") == "true"

    async def ask(self, work: Work[_Result]) -> _Result:
        """Read from the database."""
        return await self.ports.database.ask(work)

    async def write(self, work: Work[_Result]) -> _Result:
        """Write to the database; returns when it is on disk."""
        return await self.ports.database.write(work)

    def link(self, **changes: str | None) -> str:
        """This page with other conditions in its address; None takes one away, and where pages go on is forgotten."""
        kept = [(k, v) for k, v in self.request.query_params.multi_items() if k not in changes and k != "cursor"]
        added = [(name, value) for name, value in changes.items() if value is not None]
        query = urlencode(kept + added)
        return f"{self.path}?{query}" if query else self.path

    def render(self, template: str, *, status: int = 200, images: bool = False, **values: object) -> Response:
        """A page, or the part of it that lives; with pictures, it may load them from elsewhere."""
        values["images"] = images
        if self.is_part:
            return self._html(self.renderer.live(self.language, template, self._values(values)), status)
        notice = self._notice()
        answer = self._html(
            self.renderer.page(self.language, template, self._values({"notice": notice, **values})), status
        )
        if notice is not None:
            answer.delete_cookie(_NOTICE, httponly=True, samesite="strict")
        if images:
            answer.headers["content-security-policy"] = POLICY_WITH_IMAGES
        return answer

    def back(self, path: str, text: str, kind: Kind = "done") -> Response:
        """Go on to a page that says what was done."""
        answer = RedirectResponse(path, status_code=303)
        told = f"{kind}:{text}".encode(errors="replace")[:_LARGEST_NOTICE]
        value = urlsafe_b64encode(told).decode()
        secure = is_over_tls(self.request)
        answer.set_cookie(_NOTICE, value, max_age=_NOTICE_SECONDS, httponly=True, samesite="strict", secure=secure)
        return answer

    def _html(self, text: str, status: int) -> HTMLResponse:
        return HTMLResponse(text, status_code=status)

    def _values(self, values: dict[str, object]) -> dict[str, object]:
        return {"visit": self, "caller": self.signed_in, "language": self.language, "now": self.now, **values}

    def _notice(self) -> Notice | None:
        shown = self.request.cookies.get(_NOTICE)
        if not shown:
            return None
        try:
            # It may have been cut within a character.
            kind, _, text = urlsafe_b64decode(shown).decode(errors="ignore").partition(":")
        except ValueError:
            return None
        return Notice(kind="problem" if kind == "problem" else "done", text=text) if text else None


def _page_around(request: Request) -> str:
    """A form is posted to the address of its page, or to one below it."""
    path = request.url.path
    pages = [one for one in request.app.routes if isinstance(one, Route) and "GET" in (one.methods or ())]
    if any(page.path == path for page in pages):
        return path
    while path := path.rpartition("/")[0]:
        if any(page.path_regex.match(path) for page in pages):
            return path
    return "/"

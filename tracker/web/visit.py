"""One visit to a page: who came, in which language they read, and what a page does for them."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tracker.desk import Desk, Ports
from tracker.errors import RefusedError
from tracker.intake import Caller
from tracker.store.database import Work
from tracker.web.languages import Language
from tracker.web.layers import POLICY_WITH_IMAGES
from tracker.web.rendering import Renderer

Kind = Literal["done", "problem"]
_Result = TypeVar("_Result")
THEMES = ("auto", "light", "dark")
_NOTICE = "tracker_notice"
_NOTICE_SECONDS = 60
_LONGEST_NOTICE = 1_500


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
    def here(self) -> str:
        """The address of this page, for links back to it; of an answer to a form, that of the page with the form."""
        path, query = self.request.url.path, self.request.url.query
        if self.request.method == "POST":
            return path.rpartition("/")[0] or path
        return f"{path}?{query}" if query else path

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
        return f"{self.request.url.path}?{query}" if query else self.request.url.path

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
        told = json.dumps([kind, text[:_LONGEST_NOTICE]], ensure_ascii=True).encode()
        value = urlsafe_b64encode(told).decode()
        answer.set_cookie(_NOTICE, value, max_age=_NOTICE_SECONDS, httponly=True, samesite="strict")
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
            kind, text = json.loads(urlsafe_b64decode(shown))
        except ValueError:
            return None
        return Notice(kind="problem" if kind == "problem" else "done", text=str(text))

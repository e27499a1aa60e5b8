"""What a browser posts: a form, from a page of ours and from nobody else's."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from tracker.errors import InputError, RefusedError
from tracker.web.words import N_

LARGEST_FORM = 256 * 1024
"""Bytes: 500 ids and a page of metadata are far less."""
MOST_FIELDS = 2_000
CSRF = "csrf"
_FORM = "application/x-www-form-urlencoded"
_FOREIGN = N_("this form did not come from a page of this tracker; open the page again and repeat it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of a form, each with everything that was given for it."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """A field without the blanks around it; None where it was left empty."""
        return (self.fields.get(name) or [""])[0].strip() or None

    def all(self, name: str) -> Sequence[str]:
        """Everything that was given for a field, as of boxes that were ticked."""
        return self.fields.get(name, ())


async def read_form(request: Request) -> Form:
    """Read the form; raises InputError for anything that no page of ours posts."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise InputError("body", "is not a form", f"send it as {_FORM}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM:
            raise InputError("body", "is too large", f"send at most {LARGEST_FORM // 1024} kB")
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise InputError("body", "is not a form in UTF-8", "send fields as a browser does") from None
    fields: dict[str, list[str]] = {}
    if b"\x00" in body or b"%00" in body:
        raise InputError("body", "has a NUL or half a character", "send text that a database can store")
    for name, value in pairs:
        # Lines of a form end as those of a letter; JSON and people end them otherwise.
        fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return Form(fields=fields)


def csrf_of(session: str) -> str:
    """What the forms of a session carry: nobody can tell it who does not have the session."""
    return hmac.digest(session.encode(), b"csrf", "sha256").hex()


def must_be_ours(request: Request, form: Form, session: str) -> None:
    """Raise RefusedError for a form that a page elsewhere may have made the browser post."""
    must_be_from_here(request)
    if not hmac.compare_digest((form.text(CSRF) or "").encode(), csrf_of(session).encode()):
        raise RefusedError(_FOREIGN)


def must_be_from_here(request: Request) -> None:
    """Raise RefusedError where the browser says that the form is from another origin."""
    if is_from_elsewhere(request):
        raise RefusedError(_FOREIGN)
    origin = request.headers.get("origin")
    if origin is not None and _host_of(origin) != request.headers.get("host", "").lower():
        raise RefusedError(_FOREIGN)


def is_from_elsewhere(request: Request) -> bool:
    """Whether the browser says that a page of another origin had it ask."""
    return request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None

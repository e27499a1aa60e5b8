"""Reading what was sent: bounded while it arrives, and parsed only then."""

from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tracker.errors import InputError

LARGEST_BODY = 4_000_000


async def read_json(request: Request) -> object:
    """The JSON of a request's body, whatever content type it claims."""
    body = await _read(request)
    try:
        return from_json(body)
    except ValueError as error:
        fix = "send one JSON document in UTF-8"
        raise InputError("body", f"is not JSON: {error}", fix) from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            # The rest stays unread, so the connection can carry nothing else.
            raise HTTPException(
                413, f"a body has at most {LARGEST_BODY} bytes; send it in parts", {"Connection": "close"}
            )
    return bytes(body)

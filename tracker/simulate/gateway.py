"""A gateway of the Midjourney-proxy dialect, whose tasks run by the clock and end by themselves."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from itertools import count

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tracker.clock import Clock, utc_now
from tracker.simulate.lives import Ending, Life

MOST_TASKS = 100_000
_FIRST_NUMBER = 100


class Gateway:
    """An ASGI app; its state is in memory, and the oldest task is forgotten when there are too many.

    `speed` makes time pass faster for its tasks, `latency` is how long each answer takes, without `batch` there
    is no list call, and with a `token` every call must carry it as a bearer.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        batch: bool = True,
        speed: float = 1.0,
        latency: timedelta = timedelta(0),
        clock: Clock = utc_now,
        most_tasks: int = MOST_TASKS,
    ) -> None:
        self.fetches = 0
        """Fetch calls that were answered."""
        self.lists = 0
        """List calls that were answered."""
        self._token = token
        self._speed = speed
        self._latency = latency
        self._clock = clock
        self._most_tasks = most_tasks
        self._lives: dict[str, Life] = {}
        self._numbers = count(_FIRST_NUMBER)
        self._app = Starlette(routes=list(self._routes(batch=batch)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        await self._app(scope, receive, send)

    def submit(self, prompt: str = "a pig", *, task_id: str | None = None, ending: Ending | None = None) -> str:
        """Begin a task and return its id; without one it gets milliseconds and digits, as the proxies make them."""
        now = self._clock()
        task_id = task_id or f"{int(now.timestamp() * 1000)}{next(self._numbers)}"
        if len(self._lives) >= self._most_tasks:
            del self._lives[next(iter(self._lives))]
        self._lives[task_id] = Life.of(task_id, began_at=now, prompt=prompt, ending=ending)
        return task_id

    def forget(self, task_id: str) -> None:
        """Know this task no more, as a gateway that was restarted."""
        self._lives.pop(task_id, None)

    def body(self, task_id: str, images: str = "") -> dict[str, object] | None:
        """The object of a task just now; None for an id that is not known."""
        life = self._lives.get(task_id)
        if life is None:
            return None
        return life.body((self._clock() - life.began_at) * self._speed, images=images, speed=self._speed)

    def _routes(self, *, batch: bool) -> Iterable[Route]:
        yield Route("/mj/task/{task_id:path}/fetch", self._fetch)
        yield Route("/mj/submit/imagine", self._imagine, methods=["POST"])
        yield Route("/mj/image/{task_id:path}", self._image)
        if batch:
            yield Route("/mj/task/list-by-condition", self._list, methods=["POST"])

    async def _fetch(self, request: Request) -> Response:
        if refusal := await self._refusal(request):
            return refusal
        self.fetches += 1
        found = self.body(request.path_params["task_id"], _images(request))
        return JSONResponse(found) if found else _problem("task_no_found ")

    async def _list(self, request: Request) -> Response:
        if refusal := await self._refusal(request):
            return refusal
        asked = await _object(request)
        ids = asked.get("ids") if asked else None
        if not isinstance(ids, list):
            return _problem("bind_request_body_failed")
        self.lists += 1
        images = _images(request)
        found = (self.body(task_id, images) for task_id in dict.fromkeys(map(str, ids)))
        return JSONResponse([one for one in found if one])

    async def _imagine(self, request: Request) -> Response:
        if refusal := await self._refusal(request):
            return refusal
        asked = await _object(request)
        prompt = asked.get("prompt") if asked else None
        if not isinstance(prompt, str) or not prompt:
            return _problem("prompt_is_required")
        task_id = self.submit(prompt)
        return JSONResponse({"code": 1, "description": "提交成功", "result": task_id, "properties": {}})

    async def _image(self, request: Request) -> Response:
        """A coloured square; needs no token, as pictures of the real gateways need none."""
        task_id = request.path_params["task_id"]
        if task_id not in self._lives:
            return _problem("task_no_found ")
        hue = sum(task_id.encode()) * 7 % 360
        return Response(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
            f'<rect width="8" height="8" fill="hsl({hue} 60% 60%)"/></svg>',
            media_type="image/svg+xml",
        )

    async def _refusal(self, request: Request) -> Response | None:
        if self._latency:
            await asyncio.sleep(self._latency.total_seconds())
        if self._token is None or request.headers.get("authorization") == f"Bearer {self._token}":
            return None
        error = {"message": "无效的令牌 (request id: simulated)", "type": "new_api_error"}
        return JSONResponse({"error": error}, status_code=401)


def _images(request: Request) -> str:
    return f"{request.base_url}mj/image"


async def _object(request: Request) -> dict[str, object] | None:
    try:
        value = await request.json()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _problem(description: str) -> Response:
    body = {"description": description, "type": "upstream_error", "code": 4}
    return JSONResponse(body, status_code=400)

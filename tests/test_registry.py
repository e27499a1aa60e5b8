"""A provider as the configuration builds it, over real HTTP on loopback."""

from datetime import timedelta

import pytest
from midjourney_fakes import ASKED, NOW, SAMPLE, SECRET, shown
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tracker.config import UpstreamSettings
from tracker.errors import ConfigError
from tracker.http import open_upstream_client
from tracker.model import Miss, MissKind
from tracker.providers.registry import build
from tracker.simulate import serve_app

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestRegistry:
    @pytest.fixture
    def heard(self) -> list[Request]:
        return []

    @pytest.fixture
    def app(self, heard: list[Request]) -> Starlette:
        async def answer(request: Request) -> Response:
            heard.append(request)
            match request.path_params["task_id"]:
                case "moved":
                    return RedirectResponse("/mj/task/other/fetch")
                case "busy":
                    return Response(status_code=429, headers={"retry-after": "Sun, 22 Nov 2026 08:00:30 GMT"})
                case "huge":
                    return Response(b" " * (8 * 1024 * 1024 + 1))
                case "short":
                    return Response(b"{", headers={"content-length": "17"})
            return Response(SAMPLE, media_type="application/json")

        return Starlette(routes=[Route("/mj/task/{task_id}/fetch", answer)])

    async def test_a_built_provider_speaks_over_http(self, app: Starlette, heard: list[Request]) -> None:
        async with serve_app(app) as base_url, open_upstream_client() as client:
            settings = UpstreamSettings(base_url=base_url, token=SECRET, auth="raw", batch="off")
            provider = build("default", settings, client, lambda: NOW)

            look = await provider.look([ASKED])
            moved = await provider.look(["moved"])
            busy = await provider.look(["busy"])
            huge = await provider.look(["huge"])

        assert shown(look.seen[ASKED]) == "succeeded"
        assert heard[0].headers["authorization"] == SECRET
        assert heard[0].headers["user-agent"].startswith("tracker/")
        assert [request.path_params["task_id"] for request in heard] == [ASKED, "moved", "busy", "huge"]
        assert "redirects" in (moved.trouble.detail if moved.trouble else "")
        assert busy.trouble is not None
        assert busy.trouble.retry_after == timedelta(seconds=30)
        assert "larger than 8 MB" in getattr(huge.seen["huge"], "detail", "")

    async def test_an_upstream_out_of_reach_is_trouble(self, app: Starlette) -> None:
        async with serve_app(app) as base_url:
            pass
        async with open_upstream_client() as client:
            settings = UpstreamSettings(base_url=base_url)

            look = await build("default", settings, client, lambda: NOW).look(["1", "2"])

        assert look.trouble == Miss(kind=MissKind.TRANSIENT, detail="the connection was refused (connect)")

    async def test_an_address_that_cannot_be_called_is_named(self) -> None:
        async with open_upstream_client() as client:
            settings = UpstreamSettings.model_construct(
                **dict(UpstreamSettings(base_url="http://host")) | {"base_url": "ftp://host"}
            )

            look = await build("default", settings, client, lambda: NOW).look(["1"])

        assert look.trouble == Miss(kind=MissKind.UNUSABLE, detail="base_url is no address that may be called")

    async def test_an_unknown_dialect_is_a_mistake_in_the_configuration(self) -> None:
        async with open_upstream_client() as client:
            settings = UpstreamSettings(base_url="http://host", dialect="klingon")

            with pytest.raises(ConfigError, match=r"upstreams\.b\.dialect: .*; use one of: midjourney"):
                build("b", settings, client, lambda: NOW)

"""The shipped fakes: a gateway whose tasks live by the clock, and a receiver that believes only signatures."""

import asyncio
import base64
import hashlib
import hmac
import socket
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from tracker.config import UpstreamSettings
from tracker.http import open_upstream_client
from tracker.model import Miss, MissKind, Snapshot, Status
from tracker.providers.midjourney.objects import snapshot
from tracker.providers.registry import build
from tracker.simulate import Ending, Gateway, Life, Receiver, serve_app
from tracker.vocabulary import parse_progress

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
LATER = timedelta(hours=1)
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"t" * 32).decode()
BODY = b'{"type": "task.succeeded", "data": {"id": "tsk_1"}}'
WORDS = ("", "NOT_START", "SUBMITTED", "MODAL", "IN_PROGRESS", "SUCCESS", "FAILURE", "CANCEL")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def call(app: Gateway | Receiver) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://fake")


class TestLives:
    @given(st.text(min_size=1, max_size=20), st.none() | st.sampled_from(Ending), st.lists(st.floats(0, 60)))
    def test_a_life_only_goes_forward(self, task_id: str, ending: Ending | None, ages: list[float]) -> None:
        life = Life.of(task_id, began_at=NOW, ending=ending)
        bodies = [life.body(timedelta(seconds=age), images="http://fake") for age in sorted(ages)]
        ranks = [WORDS.index(str(body["status"])) for body in bodies]
        percents = [parse_progress(body["progress"]) for body in bodies]

        assert ranks == sorted(ranks)
        assert None not in percents
        assert percents == sorted(percents, key=lambda it: it or 0)

    @given(st.text(min_size=1), st.sampled_from([Ending.SUCCESS, Ending.FAILURE, Ending.CANCEL]))
    def test_a_life_ends_as_it_was_told_to(self, task_id: str, ending: Ending) -> None:
        seen = snapshot(task_id, Life.of(task_id, began_at=NOW, ending=ending).body(LATER, images="http://fake"))

        assert seen.upstream_status == ending
        assert seen.status is not None
        assert seen.status.is_end
        assert (seen.image_url is not None) is (ending is Ending.SUCCESS)
        assert (seen.fail_reason is not None) is (ending is Ending.FAILURE)
        assert seen.submitted_at == NOW
        assert seen.started_at is not None
        assert seen.finished_at is not None
        assert NOW < seen.started_at < seen.finished_at

    def test_a_task_can_stay_for_ever(self) -> None:
        body = Life.of("1", began_at=NOW, ending=Ending.NEVER).body(timedelta(days=9), images="")

        assert (body["status"], body["progress"], body["finishTime"]) == ("IN_PROGRESS", "99%", 0)

    def test_an_id_always_leads_the_same_life_and_many_lead_all_kinds(self) -> None:
        lives = [Life.of(str(number), began_at=NOW) for number in range(300)]

        assert lives == [Life.of(str(number), began_at=NOW) for number in range(300)]
        assert {life.ending for life in lives} == {Ending.SUCCESS, Ending.FAILURE, Ending.CANCEL}
        assert any(life.modal_after for life in lives)

    def test_a_life_can_wait_for_a_person(self) -> None:
        life = next(life for n in range(300) if (life := Life.of(str(n), began_at=NOW)).modal_after)

        assert life.modal_after is not None
        assert life.status(life.modal_after) == "MODAL"

    def test_the_first_answers_say_as_little_as_the_real_ones(self) -> None:
        life = Life.of("1", began_at=NOW, prompt="cat")
        body = life.body(timedelta(0), images="")

        assert (body["status"], body["progress"], body["startTime"], body["imageUrl"]) == ("", "0%", 0, "")
        assert [life.status(life.submitted_after * share) for share in (0.5, 1)] == ["NOT_START", "SUBMITTED"]


class TestGateway:
    async def test_a_submitted_task_runs_by_the_clock(self) -> None:
        clock = Hands()
        async with call(Gateway(clock=clock)) as client:
            answer = (await client.post("/mj/submit/imagine", json={"prompt": "cat"})).json()
            first = (await client.get(f"/mj/task/{answer['result']}/fetch")).json()
            clock.now += LATER
            last = (await client.get(f"/mj/task/{answer['result']}/fetch")).json()

        assert (answer["code"], answer["description"]) == (1, "提交成功")
        assert (first["id"], first["status"], first["prompt"]) == (answer["result"], "", "cat")
        assert last["status"] in ("SUCCESS", "FAILURE", "CANCEL")

    async def test_speed_makes_time_pass_faster(self) -> None:
        clock = Hands()
        gateway = Gateway(clock=clock, speed=1000)
        task_id = gateway.submit(ending=Ending.SUCCESS)

        clock.now += timedelta(milliseconds=40)
        body = gateway.body(task_id)

        assert body is not None
        assert body["status"] == "SUCCESS"

    @pytest.mark.parametrize("speed", [0.5, 1, 3, 1000])
    async def test_whatever_the_speed_times_are_those_of_the_clock(self, speed: float) -> None:
        clock = Hands()
        gateway = Gateway(clock=clock, speed=speed)
        task_id = gateway.submit(ending=Ending.SUCCESS)
        life = Life.of(task_id, began_at=NOW, ending=Ending.SUCCESS)

        clock.now += life.finished_after / speed + timedelta(milliseconds=1)
        seen = snapshot(task_id, gateway.body(task_id) or {})

        assert seen.finished_at is not None
        assert seen.started_at is not None
        assert abs(seen.finished_at - (NOW + life.finished_after / speed)) <= timedelta(milliseconds=1)
        assert NOW <= seen.started_at <= seen.finished_at <= clock.now

    async def test_an_unknown_id_is_answered_as_new_api_does(self) -> None:
        gateway = Gateway()
        async with call(gateway) as client:
            task_id = gateway.submit()
            gateway.forget(task_id)
            answers = [await client.get(f"/mj/task/{one}/fetch") for one in (task_id, "a%2Fb")]

        assert [answer.status_code for answer in answers] == [400, 400]
        assert answers[0].json() == {"description": "task_no_found ", "type": "upstream_error", "code": 4}

    async def test_a_list_leaves_out_what_it_does_not_know(self) -> None:
        gateway = Gateway()
        known = [gateway.submit(), gateway.submit(task_id="mine")]
        async with call(gateway) as client:
            answer = await client.post("/mj/task/list-by-condition", json={"ids": [*known, "other", known[0]]})

        assert [one["id"] for one in answer.json()] == known
        assert (gateway.lists, gateway.fetches) == (1, 0)

    @pytest.mark.parametrize(
        ("path", "content"),
        [
            ("/mj/task/list-by-condition", b"{"),
            ("/mj/task/list-by-condition", b"[]"),
            ("/mj/task/list-by-condition", b'{"ids": "1"}'),
            ("/mj/submit/imagine", b"\xff"),
            ("/mj/submit/imagine", b'{"prompt": ""}'),
        ],
    )
    async def test_a_bad_request_is_refused(self, path: str, content: bytes) -> None:
        async with call(Gateway()) as client:
            assert (await client.post(path, content=content)).status_code == 400

    async def test_every_call_wants_the_token(self) -> None:
        async with call(Gateway(token="T")) as client:
            refused = [
                await client.get("/mj/task/1/fetch"),
                await client.get("/mj/task/1/fetch", headers={"authorization": "T"}),
                await client.post("/mj/task/list-by-condition", json={"ids": []}),
                await client.post("/mj/submit/imagine", json={"prompt": "cat"}),
            ]
            accepted = await client.get("/mj/task/1/fetch", headers={"authorization": "Bearer T"})

        assert [answer.status_code for answer in refused] == [401] * 4
        assert refused[0].json()["error"]["type"] == "new_api_error"
        assert accepted.status_code == 400

    async def test_it_can_be_slow_and_without_lists(self) -> None:
        async with call(Gateway(batch=False, latency=timedelta(milliseconds=1))) as client:
            assert (await client.post("/mj/task/list-by-condition", json={"ids": []})).status_code == 404
            assert (await client.get("/mj/task/1/fetch")).status_code == 400

    async def test_pictures_are_served_where_the_task_says(self) -> None:
        clock = Hands()
        gateway = Gateway(clock=clock)
        task_id = gateway.submit(ending=Ending.SUCCESS)
        clock.now += LATER
        async with call(gateway) as client:
            body = (await client.get(f"/mj/task/{task_id}/fetch")).json()
            picture = await client.get(body["imageUrl"])
            missing = await client.get("/mj/image/other")

        assert picture.headers["content-type"] == "image/svg+xml"
        assert missing.status_code == 400

    async def test_the_oldest_task_is_forgotten_when_there_are_too_many(self) -> None:
        gateway = Gateway(most_tasks=2)
        first, second, third = (gateway.submit() for _ in range(3))

        assert len({first, second, third}) == 3
        assert gateway.body(first) is None
        assert gateway.body(second) is not None
        assert gateway.body(third) is not None

    @pytest.mark.parametrize("batch", [True, False])
    async def test_the_provider_understands_it(self, batch: bool) -> None:  # noqa: FBT001, a column
        clock = Hands()
        gateway = Gateway(token="T", batch=batch, clock=clock)
        done, failed = gateway.submit(ending=Ending.SUCCESS), gateway.submit(ending=Ending.FAILURE)
        clock.now += LATER
        async with serve_app(gateway) as base_url, open_upstream_client() as client:
            provider = build("default", UpstreamSettings(base_url=base_url, token="T"), client, clock)
            look = await provider.look([done, failed, "other"])

        seen = [one.status if isinstance(one, Snapshot) else one.kind for one in look.seen.values()]
        assert sorted(seen) == sorted([Status.SUCCEEDED, Status.FAILED, MissKind.UNKNOWN])
        assert not any(isinstance(one, Miss) for one in (look.seen[done], look.seen[failed]))
        assert look.trouble is None
        # What a list leaves out is asked for once more on its own.
        assert (gateway.lists, gateway.fetches) == ((1, 1) if batch else (0, 3))


def signed(
    secret: str = SECRET, *, body: bytes = BODY, message_id: str = "msg_1", at: datetime = NOW
) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


class TestReceiver:
    async def test_a_signed_message_is_accepted_on_any_path(self) -> None:
        receiver = Receiver(secrets=lambda: [SECRET], clock=Hands())
        async with call(receiver) as client:
            answer = await client.post("/hooks/mine", content=BODY, headers=signed())

        assert answer.status_code == 204
        arrival = receiver.messages["msg_1"]
        assert (arrival.path, arrival.body, arrival.problem, arrival.arrived_at) == ("/hooks/mine", BODY, None, NOW)
        assert arrival.content["type"] == "task.succeeded"

    async def test_it_accepts_what_the_reference_library_signs(self) -> None:
        receiver = Receiver(secrets=lambda: [SECRET], clock=Hands())
        headers = {**signed(), "webhook-signature": Webhook(SECRET).sign("msg_1", NOW, BODY.decode())}
        async with call(receiver) as client:
            assert (await client.post("/", content=BODY, headers=headers)).status_code == 204

    async def test_either_secret_will_do_while_they_rotate(self) -> None:
        receiver = Receiver(secrets=lambda: [OTHER, SECRET], clock=Hands())
        both = f"v1a,x {signed()['webhook-signature']} {signed(OTHER)['webhook-signature']}"
        async with call(receiver) as client:
            for headers in (signed(), signed(OTHER), {**signed(), "webhook-signature": both}):
                assert (await client.post("/", content=BODY, headers=headers)).status_code == 204

    @pytest.mark.parametrize(
        ("headers", "problem"),
        [
            ({}, "missing"),
            ({**signed(), "webhook-id": ""}, "missing"),
            ({**signed(), "webhook-timestamp": "soon"}, "no whole number"),
            ({**signed(), "webhook-timestamp": "9" * 5000}, "no whole number"),
            (signed(at=NOW - timedelta(minutes=6)), "too far"),
            (signed(at=NOW + timedelta(minutes=6)), "too far"),
            (signed(OTHER), "fits none"),
            (signed(body=b"{}"), "fits none"),
            ({**signed(), "webhook-id": "msg_2"}, "fits none"),
            ({**signed(), "webhook-signature": ""}, "signature is missing"),
            ({**signed(), "webhook-signature": "v1, v2,x v1a,y v1"}, "fits none"),
        ],
    )
    async def test_anything_else_is_refused_and_remembered(self, headers: dict[str, str], problem: str) -> None:
        receiver = Receiver(secrets=lambda: [SECRET], clock=Hands())
        async with call(receiver) as client:
            answer = await client.post("/", content=BODY, headers=headers)

        assert answer.status_code == 401
        assert problem in (receiver.arrivals[0].problem or "")
        assert problem in answer.text
        assert receiver.messages == {}

    async def test_a_secret_that_is_none_is_our_mistake(self) -> None:
        receiver = Receiver(secrets=lambda: ["whsec_???"], clock=Hands())
        async with call(receiver) as client:
            with pytest.raises(ValueError, match="a secret is whsec_ and base64"):
                await client.post("/", content=BODY, headers=signed())

    async def test_it_fails_as_scripted_and_then_accepts(self) -> None:
        receiver = Receiver(secrets=lambda: [SECRET], clock=Hands())
        receiver.answer_next(503, 302)
        async with call(receiver) as client:
            codes = [(await client.post("/", content=BODY, headers=signed())).status_code for _ in range(4)]

        assert codes == [503, 302, 204, 204]
        assert [arrival.is_repeat for arrival in receiver.arrivals] == [False, False, False, True]
        assert [arrival.answered for arrival in receiver.arrivals] == codes
        assert list(receiver.messages) == ["msg_1"]
        assert receiver.messages["msg_1"] is receiver.arrivals[2]

    async def test_only_posts_are_messages(self) -> None:
        receiver = Receiver(secrets=lambda: [SECRET])
        async with call(receiver) as client:
            assert (await client.get("/")).status_code == 405

        assert not receiver.arrivals

    @pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
    async def test_a_body_without_an_object_has_no_content(self, body: bytes) -> None:
        receiver = Receiver(secrets=lambda: [SECRET], clock=Hands())
        async with call(receiver) as client:
            await client.post("/", content=body, headers=signed(body=body))

        assert receiver.messages["msg_1"].content == {}

    async def test_what_it_remembers_is_bounded(self) -> None:
        receiver = Receiver(secrets=lambda: [SECRET], clock=Hands(), most_remembered=2)
        async with call(receiver) as client:
            for number in range(4):
                await client.post("/", content=BODY, headers=signed(message_id=f"msg_{number}"))
            await client.post("/", content=b"x" * 3_000_000)

        assert list(receiver.messages) == ["msg_2", "msg_3"]
        assert len(receiver.arrivals) == 2
        assert len(receiver.arrivals[-1].body) == 1024 * 1024

    async def test_one_can_wait_for_what_arrives(self) -> None:
        receiver = Receiver(secrets=lambda: [SECRET], clock=Hands())
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks, call(receiver) as client:
            waiting = tasks.create_task(receiver.wait_for(lambda it: len(it.messages) == 2))
            await client.post("/", content=BODY, headers=signed(message_id="msg_1"))
            assert not waiting.done()
            await client.post("/", content=BODY, headers=signed(message_id="msg_2"))
            await waiting

    async def test_a_sender_that_goes_away_leaves_nothing(self) -> None:
        receiver = Receiver(secrets=lambda: [SECRET])
        sent: list[object] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            sent.append(message)

        await receiver({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)

        assert (sent, list(receiver.arrivals)) == ([], [])


class TestServer:
    async def test_an_app_is_served_while_the_context_lasts(self) -> None:
        async with httpx.AsyncClient() as client:
            async with serve_app(Gateway()) as base_url:
                assert base_url.startswith("http://127.0.0.1:")
                assert (await client.get(f"{base_url}/mj/task/1/fetch")).status_code == 400
            with pytest.raises(httpx.ConnectError):
                await client.get(base_url)

    async def test_an_error_inside_comes_out_as_it_is(self) -> None:
        with pytest.raises(KeyError, match="mine"):
            async with serve_app(Gateway()):
                raise KeyError("mine")

    async def test_a_port_in_use_is_an_error(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
            async with serve_app(Gateway(), port=taken.getsockname()[1]):
                raise AssertionError("it was served")

    async def test_a_server_that_cannot_start_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def ends_at_once(_server: object, sockets: list[socket.socket]) -> None:
            for listener in sockets:
                listener.close()

        monkeypatch.setattr("uvicorn.Server.serve", ends_at_once)

        with pytest.raises(OSError, match="before it was ready"):
            async with serve_app(Gateway()):
                raise AssertionError("it was served")

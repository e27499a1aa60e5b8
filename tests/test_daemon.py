"""The daemon as people run it: a process, with a gateway and a receiver that are not ours."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any, Self

import anyio
import anyio.to_thread
import httpx
import pytest
from daemons import SERVE, DaemonProcess, runs, sending_processes_of
from databases import started_postgres
from sqlalchemy import text, update
from standardwebhooks import Webhook

from tracker.clock import utc_now
from tracker.store import migrate
from tracker.store.database import Connection, Database
from tracker.store.schema import endpoint

pytestmark = pytest.mark.anyio

SAMPLE = (Path(__file__).parent / "data" / "fetch-success.json").read_bytes()
SAMPLE_ID = "1730621826053455"
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Reading them takes longer than a call."""
SETTINGS = {
    "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "sk-plain",
    "TRACKER_UPSTREAMS__DEFAULT__POLL_INTERVAL": "250ms",
    "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
}


class PlainServer:
    """Python's own HTTP server; `answer` maps (method, path) to (status, body)."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.answers: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.hang = Event()
        self.hang.set()
        self._changed = Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, answer = outer.note(self.command, self.path, dict(self.headers.items()), body)
                outer.hang.wait(30)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self._server.server_port}"

    def note(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with self._changed:
            self.received.append((path, {name.lower(): value for name, value in headers.items()}, body))
            self._changed.notify_all()
        return self.answers.get((method, path), (404, b'{"error": "no such path"}'))

    def wait_for(self, path: str, count: int = 1, within: float = 20.0) -> list[tuple[dict[str, str], bytes]]:
        """The requests to a path, as soon as there are so many."""
        with self._changed:
            found = self._changed.wait_for(lambda: len(self._to(path)) >= count, timeout=within)
            assert found, f"{len(self._to(path))} of {count} requests to {path}"
            return self._to(path)

    def _to(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for to, headers, body in self.received if to == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def plain() -> Iterator[PlainServer]:
    with PlainServer() as server:
        server.answers["GET", f"/mj/task/{SAMPLE_ID}/fetch"] = (200, SAMPLE)
        for path in ("/api", "/cli", "/hook"):
            server.answers["POST", path] = (204, b"")
        yield server


@contextmanager
def running(
    folder: Path, database_url: str, plain: PlainServer, *, program: tuple[str, ...] = (), **more: str
) -> Iterator[DaemonProcess]:
    settings = {**SETTINGS, "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": plain.url, **more}
    daemon = DaemonProcess(folder, database_url, settings, program=program)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.end()


async def call(daemon: DaemonProcess, method: str, path: str, document: object = None) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20, verify=NO_AUTHORITIES) as client:
        headers = {"authorization": f"Bearer {daemon.token}"}
        return await client.request(method, f"{daemon.url}{path}", json=document, headers=headers)


async def eventually(daemon: DaemonProcess, path: str, key: str, value: object) -> dict[str, Any]:
    """The answer of a GET once its `key` is `value`."""
    with anyio.fail_after(20):
        while True:
            found: dict[str, Any] = (await call(daemon, "GET", path)).json()
            if found.get(key) == value:
                return found
            await anyio.sleep(0.05)


async def test_the_documented_sample_reaches_both_callbacks_and_every_history(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    with running(tmp_path, database_url, plain, program=SERVE) as daemon:
        await daemon.wait_until_ready()
        secret = daemon.tell("secret").stdout.strip()

        registered = await call(
            daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}/api", "metadata": 17}
        )
        added = daemon.run("add", SAMPLE_ID, "--callback", f"{plain.url}/cli")
        arrived = {path: await anyio.to_thread.run_sync(plain.wait_for, path) for path in ("/api", "/cli")}
        task = await eventually(daemon, f"/v1/tasks/{registered.json()['id']}", "status", "succeeded")
        # A message has arrived a moment before its outcome is written.
        of_task = (await call(daemon, "GET", f"/v1/tasks/{task['id']}/deliveries")).json()["deliveries"]
        for delivery in of_task:
            await eventually(daemon, f"/v1/deliveries/{delivery['id']}", "status", "delivered")
        history = json.loads(daemon.tell("history", SAMPLE_ID, "--json").stdout)
        assert daemon.terminate() == 0

    assert registered.status_code == 201
    assert added.returncode == 0
    for path, messages in arrived.items():
        assert len(messages) == 1
        headers, body = messages[0]
        told = Webhook(secret).verify(body, headers)
        assert told["type"] == "task.succeeded"
        assert told["data"]["task_id"] == SAMPLE_ID
        assert told["data"]["task"]["buttons"] == json.loads(SAMPLE)["buttons"]
        assert told["data"]["metadata"] == (17 if path == "/api" else None)
    assert task["image_url"] == json.loads(SAMPLE)["imageUrl"]
    assert [line["sequence"] for line in history] == list(range(1, len(history) + 1))
    database = Database(database_url)
    columns = ("sequence", "event", "from_status", "to_status", "progress", "note")
    rows = database.read_now(
        lambda connection: connection.execute(
            text(f"SELECT {', '.join(columns)} FROM task_history ORDER BY sequence")
        ).all()
    )
    database.close()
    assert [tuple(line[name] for name in columns) for line in history] == [tuple(row) for row in rows]
    assert {row.event for row in rows} == {"registered", "status", "delivered"}


async def test_a_task_inserted_by_plain_sql_is_watched(database_url: str, tmp_path: Path, plain: PlainServer) -> None:
    with running(tmp_path, database_url, plain) as daemon:
        await daemon.wait_until_ready()
        database = Database(database_url)

        def insert(connection: Connection) -> None:
            connection.execute(text(f"INSERT INTO task (upstream, task_id) VALUES ('default', '{SAMPLE_ID}')"))

        database.write_now(insert)
        database.close()
        await anyio.to_thread.run_sync(plain.wait_for, f"/mj/task/{SAMPLE_ID}/fetch")
        listed = (await call(daemon, "GET", f"/v1/tasks?task_id={SAMPLE_ID}")).json()["tasks"]
        ended = await eventually(daemon, f"/v1/tasks/{listed[0]['id']}", "status", "succeeded")

    assert ended["sequence"] == 2


async def test_an_open_stream_hears_the_end_of_a_task_and_holds_nobody_up(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    with running(tmp_path, database_url, plain) as daemon:
        await daemon.wait_until_ready()
        headers = {"authorization": f"Bearer {daemon.token}", "accept": "text/event-stream"}
        async with (
            httpx.AsyncClient(trust_env=False, timeout=20) as client,
            client.stream("GET", f"{daemon.url}/v1/events", headers=headers) as stream,
        ):
            lines = stream.aiter_lines()
            opening = [await anext(lines) for _ in range(3)]
            added = daemon.tell("add", SAMPLE_ID)
            told: list[dict[str, Any]] = []
            with anyio.fail_after(20):
                while not told or told[-1]["to_status"] != "succeeded":
                    line = await anext(lines)
                    told += [json.loads(line.removeprefix("data: "))] if line.startswith("data: ") else []

            started = anyio.current_time()
            code = await anyio.to_thread.run_sync(daemon.terminate)
            took = anyio.current_time() - started
            rest = [line async for line in lines]

    assert added.exit_code == 0
    assert opening[0].startswith(":")
    assert [(line["task_id"], line["event"]) for line in told] == [(SAMPLE_ID, "registered"), (SAMPLE_ID, "status")]
    assert code == 0
    assert took < 3
    assert not any(line.startswith("data: ") for line in rest)
    assert "Traceback" not in daemon.log.read_text()


async def test_a_second_daemon_on_the_same_file_refuses_to_start(tmp_path: Path, plain: PlainServer) -> None:
    with running(tmp_path, f"sqlite:///{tmp_path}/tracker.db", plain) as daemon:
        await daemon.wait_until_ready()

        second = daemon.run("serve", "--listen", "127.0.0.1:0")

    assert second.returncode == 69
    assert "is served by another daemon (pid " in second.stderr
    assert second.stderr.count("\n") == 1


async def test_sigterm_ends_it_in_time_while_upstream_and_receiver_hang(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    with running(tmp_path, database_url, plain) as daemon:
        await daemon.wait_until_ready()
        await call(daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}/hook"})
        await anyio.to_thread.run_sync(plain.wait_for, "/hook")
        plain.answers["POST", "/slow"] = (204, b"")
        plain.hang.clear()
        late = await call(daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}/slow"})
        await call(daemon, "POST", "/v1/tasks", {"task_id": "hangs"})
        await anyio.to_thread.run_sync(plain.wait_for, "/slow")
        await anyio.to_thread.run_sync(plain.wait_for, "/mj/task/hangs/fetch")

        code = await anyio.to_thread.run_sync(daemon.terminate)

        plain.hang.set()
        daemon.start()
        await daemon.wait_until_ready()
        again = await anyio.to_thread.run_sync(plain.wait_for, "/slow", 2)
        deliveries = await call(daemon, "GET", f"/v1/tasks/{late.json()['id']}/deliveries")
        assert daemon.terminate() == 0

    assert code == 0
    assert len({headers["webhook-id"] for headers, _ in again}) == 1
    assert len({body for _, body in again}) == 1
    attempts = [
        delivery["attempts"] for delivery in deliveries.json()["deliveries"] if delivery["url"].endswith("/slow")
    ]
    assert attempts[0][0]["outcome"] == "interrupted"


def set_endpoint(database_url: str, **values: object) -> None:
    """What would take minutes to come about."""
    database = Database(database_url)
    database.write_now(lambda connection: connection.execute(update(endpoint).values(**values)).close())
    database.close()


async def test_a_restart_goes_on_with_its_tasks_and_writes_none_of_them(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    fetch = "/mj/task/lasts/fetch"
    lasting = {**json.loads(SAMPLE), "id": "lasts", "status": "IN_PROGRESS", "progress": "10%", "finishTime": None}
    plain.answers["GET", fetch] = (200, json.dumps(lasting).encode())
    row = f"SELECT watcher{', xmin::text' if database_url.startswith('postgres') else ''} FROM task"

    def ask() -> list[tuple[Any, ...]]:
        database = Database(database_url)
        try:
            return [tuple(found) for found in database.read_now(lambda connection: connection.execute(text(row)).all())]
        finally:
            database.close()

    with running(tmp_path, database_url, plain) as daemon:
        await daemon.wait_until_ready()
        task = (await call(daemon, "POST", "/v1/tasks", {"task_id": "lasts"})).json()
        await eventually(daemon, f"/v1/tasks/{task['id']}", "status", "running")
        assert await anyio.to_thread.run_sync(daemon.terminate) == 0
        before, looks = ask(), sum(path == fetch for path, _, _ in plain.received)
        daemon.start()
        await daemon.wait_until_ready()
        await anyio.to_thread.run_sync(plain.wait_for, fetch, looks + 2)

        assert ask() == before


async def test_the_operator_is_told_of_a_pause_and_of_the_recovery(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    """At an address that no callback may have: the operator named it."""
    with PlainServer("127.0.0.2") as operator:
        operator.answers["POST", "/told"] = (204, b"")
        more = {
            "TRACKER_OPERATOR_CALLBACK_URL": f"{operator.url}/told",
            "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.1/32",
            "TRACKER_CALLBACKS__RETRY_SCHEDULE": ",".join(["0s"] + ["500ms"] * 20),
        }
        plain.answers["POST", "/hook"] = (500, b"")
        with running(tmp_path, database_url, plain, **more) as daemon:
            await daemon.wait_until_ready()
            callback = {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}/hook"}
            refused = await call(daemon, "POST", "/v1/tasks", {**callback, "callback_url": f"{operator.url}/hook"})
            await call(daemon, "POST", "/v1/tasks", callback)
            await anyio.to_thread.run_sync(plain.wait_for, "/hook")
            set_endpoint(database_url, failures=4, failing_since=utc_now() - timedelta(minutes=2))
            await anyio.to_thread.run_sync(operator.wait_for, "/told")
            plain.answers["POST", "/hook"] = (204, b"")
            set_endpoint(database_url, paused_until=utc_now())
            told = await anyio.to_thread.run_sync(operator.wait_for, "/told", 2)
            secret = daemon.tell("secret").stdout.strip()
            assert daemon.terminate() == 0

    assert refused.status_code == 422
    paused, recovered = (Webhook(secret).verify(body, headers) for headers, body in told)
    assert paused["type"] == "endpoint.paused"
    assert paused["data"]["endpoint"] == plain.url
    assert paused["data"]["reason"] == "5 failures in a row, the last one: HTTP 500"
    assert paused["data"]["waiting"] == 1
    assert (recovered["type"], recovered["data"]["id"]) == ("endpoint.recovered", paused["data"]["id"])


async def test_sigterm_ends_it_in_time_while_the_operators_receiver_hangs(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    plain.answers["POST", "/told"] = (204, b"")
    operator = {"TRACKER_OPERATOR_CALLBACK_URL": f"{plain.url}/told"}
    with running(tmp_path, database_url, plain, **operator) as daemon:
        await daemon.wait_until_ready()
        await call(daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}/hook"})
        await anyio.to_thread.run_sync(plain.wait_for, "/hook")
        plain.hang.clear()
        closed = daemon.tell("endpoints", "disable", plain.url)
        await anyio.to_thread.run_sync(plain.wait_for, "/told")

        code = await anyio.to_thread.run_sync(daemon.terminate)

    assert closed.exit_code == 0, closed.stderr
    assert code == 0
    assert "Traceback" not in daemon.log.read_text()


async def test_a_refused_credential_pauses_the_upstream_and_no_task(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    fetch = ("GET", f"/mj/task/{SAMPLE_ID}/fetch")
    plain.answers[fetch] = (401, b'{"error": {"message": "no such token sk-plain", "type": "new_api_error"}}')
    with running(tmp_path, database_url, plain) as daemon:
        await daemon.wait_until_ready()
        task = (await call(daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID})).json()
        await anyio.to_thread.run_sync(plain.wait_for, fetch[1])
        with anyio.fail_after(20):
            while (await call(daemon, "GET", "/v1/upstreams")).json()["upstreams"][0]["state"] != "paused":
                await anyio.sleep(0.05)
        paused = json.loads(daemon.tell("upstreams", "--json").stdout)[0]
        assert (await call(daemon, "GET", f"/v1/tasks/{task['id']}")).json()["status"] == "queued"

        plain.answers[fetch] = (200, SAMPLE)
        await eventually(daemon, f"/v1/tasks/{task['id']}", "status", "succeeded")
        assert daemon.terminate() == 0

    assert "refused" in paused["reason"]
    assert "sk-plain" not in daemon.log.read_text()


async def test_postgres_may_go_away_and_come_back(tmp_path: Path, plain: PlainServer) -> None:
    plain.answers["GET", "/mj/task/before/fetch"] = (200, b'{"id": "before", "status": "IN_PROGRESS"}')
    with started_postgres() as server:
        url = server.get_uri()
        migrate.upgrade(url)
        with running(tmp_path, url, plain) as daemon:
            await daemon.wait_until_ready()
            await call(daemon, "POST", "/v1/tasks", {"task_id": "before"})

            server.stop()
            refused = await call(daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID})
            unready = await call(daemon, "GET", "/readyz")
            server.start()

            await daemon.wait_until_ready()
            with anyio.fail_after(20):
                while True:
                    accepted = await call(
                        daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}/hook"}
                    )
                    if accepted.status_code == 201:
                        break
                    assert accepted.status_code == 503
            await anyio.to_thread.run_sync(plain.wait_for, "/hook")
            assert daemon.terminate() == 0

    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert "retry-after" in refused.headers
    assert unready.status_code == 503


async def test_its_sending_processes_deliver_and_end_with_it_however_it_ends(
    database_url: str, tmp_path: Path, plain: PlainServer
) -> None:
    with running(tmp_path, database_url, plain, TRACKER_CALLBACKS__SENDING_PROCESSES="2") as daemon:
        await daemon.wait_until_ready()
        assert daemon.process is not None
        sending = sending_processes_of(daemon.process.pid)
        assert len(sending) == 2
        await call(daemon, "POST", "/v1/tasks", {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}/api"})
        messages = await anyio.to_thread.run_sync(plain.wait_for, "/api")
        Webhook(daemon.tell("secret").stdout.strip()).verify(messages[0][1], messages[0][0])
        daemon.kill()
        with anyio.fail_after(10):
            while any(map(runs, sending)):
                await anyio.sleep(0.02)
        daemon.start()
        await daemon.wait_until_ready()
        sending = sending_processes_of(daemon.process.pid)
        assert daemon.terminate() == 0
        assert not any(map(runs, sending))
    assert "sending_process_ended" not in daemon.log.read_text()

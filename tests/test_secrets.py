"""A whole daemon, from its first start to a delivered message: none of its secrets lies where others look."""

from pathlib import Path

import anyio.to_thread
import httpx
import pytest
from daemons import SERVE
from test_daemon import SAMPLE_ID, PlainServer, plain, running

pytestmark = pytest.mark.anyio
__all__ = ["plain"]


def command_line(pid: int) -> str:
    """What every user of the machine may read of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text()


async def test_no_secret_is_logged_answered_counted_or_listed(tmp_path: Path, plain: PlainServer) -> None:
    plain.answers["POST", "/broken"] = (500, b"no")
    more = {"TRACKER_LOG__LEVEL": "debug", "TRACKER_LIMITS__REGISTRATIONS_PER_MINUTE_PER_OWNER": "2"}
    with running(tmp_path, f"sqlite:///{tmp_path}/tracker.db", plain, program=SERVE, **more) as daemon:
        await daemon.wait_until_ready()
        shop = daemon.tell("token", "create", "--owner", "shop", "--scope", "write").stdout.strip()
        answers: list[httpx.Response] = []
        async with httpx.AsyncClient(base_url=daemon.url, trust_env=False) as client:
            for token in (shop, daemon.token, "trk_made-up-by-somebody"):
                client.headers["authorization"] = f"Bearer {token}"
                for path in ("/hook", "/broken", "/hook"):
                    body = {"task_id": SAMPLE_ID, "callback_url": f"{plain.url}{path}"}
                    answers.append(await client.post("/v1/tasks", json=body))
                answers += [await client.get(path) for path in ("/v1/tasks", "/v1/events", "/v1/upstreams")]
                answers.append(await client.post("/v1/tasks", content=b"\xff" + token.encode()))
            messages = await anyio.to_thread.run_sync(plain.wait_for, "/hook", 2)
            await anyio.to_thread.run_sync(plain.wait_for, "/broken", 2)
            client.headers["authorization"] = f"Bearer {daemon.token}"
            answers += [await client.get(path) for path in ("/v1/deliveries", "/v1/endpoints", "/metrics")]
        assert daemon.process is not None
        words = command_line(daemon.process.pid)
        secrets = [daemon.tell("secret", "--owner", owner).stdout.strip() for owner in ("shop", "admin")]
        listed = daemon.tell("token", "list", "--json").stdout
        assert daemon.terminate() == 0

    signatures = [headers["webhook-signature"].removeprefix("v1,") for headers, _ in messages]
    hidden = [shop, daemon.token, *secrets, *signatures, "sk-plain"]
    looked_at = {
        "log": daemon.log.read_text(),
        "answers": "".join(answer.text + str(answer.headers) for answer in answers),
        "process list": words,
        "list of tokens": listed,
    }
    assert {answer.status_code for answer in answers} == {200, 201, 401, 422, 429}
    assert [(place, secret) for secret in hidden for place, text in looked_at.items() if secret in text] == []

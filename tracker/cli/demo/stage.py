"""Sets the stage: gateway and receiver in this event loop, the daemon beside it, all on loopback and on fresh files."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tracker.cli.demo.process import DaemonProcess
from tracker.cli.remote import RemoteTracker
from tracker.clock import utc_now
from tracker.config.addresses import sqlite_url
from tracker.simulate import Gateway, Receiver, serve_app
from tracker.store import access, sessions
from tracker.store.database import Database
from tracker.store.sessions import SignIn
from tracker.webhooks.signing import new_secret

GATEWAY_TOKEN = "demo"  # noqa: S105 - the gateway is ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What there is to play with."""

    gateway: Gateway
    gateway_url: str
    receiver: Receiver
    receiver_url: str
    daemon: DaemonProcess
    daemon_url: str
    tracker: RemoteTracker
    """The daemon's API, with the token that its first start wrote."""
    directory: Path
    """Database, token and log."""

    def page_link(self) -> str:
        """An address of the pages that signs in whoever opens it first."""
        link, by = sessions.new_link(), SignIn(owner="admin", scope="admin", token_id=None)
        with closing(Database(sqlite_url(self.directory / "tracker.db"))) as database:
            database.write_now(partial(sessions.add_link, made=link, by=by, now=utc_now()))
        return f"{self.daemon_url}/sign-in?link={link}"


@asynccontextmanager
async def set_stage(*, speed: float) -> AsyncIterator[Stage]:
    """Everything ready; at the end all is stopped and nothing is left behind."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracker-demo-")))
        secrets: list[str] = []
        gateway = Gateway(token=GATEWAY_TOKEN, speed=speed)
        receiver = Receiver(secrets=lambda: secrets)
        gateway_url = await stack.enter_async_context(serve_app(gateway))
        receiver_url = await stack.enter_async_context(serve_app(receiver))
        daemon = await DaemonProcess.start(_settings(directory, gateway_url), directory / "daemon.log")
        stack.push_async_callback(daemon.stop)
        daemon_url = f"http://{await daemon.ready()}"
        secrets.append(await asyncio.to_thread(_secret, directory))
        token = (directory / "tracker.token").read_text().strip()
        yield Stage(
            gateway=gateway,
            gateway_url=gateway_url,
            receiver=receiver,
            receiver_url=receiver_url,
            daemon=daemon,
            daemon_url=daemon_url,
            tracker=stack.enter_context(RemoteTracker.open(daemon_url, token)),
            directory=directory,
        )


def _settings(directory: Path, gateway_url: str) -> dict[str, str]:
    """The daemon's whole configuration."""
    no_file = directory / "tracker.toml"
    no_file.touch()
    return {
        "TRACKER_CONFIG": str(no_file),
        "TRACKER_DATABASE_URL": sqlite_url(directory / "tracker.db"),
        "TRACKER_LISTEN": "127.0.0.1:0",
        "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": gateway_url,
        "TRACKER_UPSTREAMS__DEFAULT__TOKEN": GATEWAY_TOKEN,
        "TRACKER_UPSTREAMS__DEFAULT__POLL_INTERVAL": "500ms",
        "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
        "TRACKER_CALLBACKS__RETRY_SCHEDULE": "0s,1s,2s,2s,2s,2s",
        "TRACKER_LOG__FORMAT": "json",
    }


def _secret(directory: Path) -> str:
    """What `tracker secret` prints."""
    with closing(Database(sqlite_url(directory / "tracker.db"))) as database:
        return database.write_now(partial(access.current_secret, owner="admin", now=utc_now(), fresh=new_secret()))

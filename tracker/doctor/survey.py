"""Finding out about everything that a usable configuration names, all at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from tracker import config
from tracker.config import UpstreamSettings
from tracker.config.addresses import mask_password
from tracker.doctor.asking import Heard, ask_gateway
from tracker.doctor.errands import Errand
from tracker.doctor.gateways import GatewayFacts
from tracker.doctor.host import Host, credentials, files_of, hides_credentials, room_in
from tracker.doctor.listening import Door, knock
from tracker.doctor.mending import Mending
from tracker.doctor.permissions import Standing
from tracker.doctor.service import Unit, is_running
from tracker.doctor.settings import secrets_in_file
from tracker.doctor.storage import DatabaseFacts, Room
from tracker.errors import UnavailableError
from tracker.store import migrate
from tracker.store.engines import sqlite_file
from tracker.store.inspection import inspect_database


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is being found out."""

    address: tuple[str, int]
    database: Errand[DatabaseFacts]
    room: Errand[Room]
    files: Errand[list[Standing]]
    door: Errand[Door]
    gateways: Mapping[str, Errand[Heard]]

    @classmethod
    def begin(cls, host: Host, loaded: config.Loaded, units: Sequence[Unit], mending: Mending) -> Self:
        """Send for everything."""
        settings = loaded.settings
        path = sqlite_file(settings.database_url)
        state = host.cwd / host.environ.get("STATE_DIRECTORY", "").split(":")[0]
        folder = path.parent if path else state
        secrets = credentials(host)
        files = partial(files_of, loaded.path, path, folder / "tracker.token", secrets)
        address = _address(settings, units)
        is_asked = is_running(units) or not any(unit.holds_port for unit in units)
        has_hidden = partial(_has_hidden, host, secrets)
        return cls(
            address=address,
            database=Errand(partial(_ask_database, settings.database_url, mending.of("database_url"))),
            room=Errand(partial(room_in, host, folder, path)),
            files=Errand(partial(files, holds_secret=secrets_in_file(loaded))),
            door=Errand(partial(knock, *address, is_asked=is_asked)),
            gateways={
                name: Errand(
                    partial(ask_gateway, _gateway(name, upstream, mending, is_hidden=has_hidden(name)), upstream)
                )
                for name, upstream in settings.upstreams.items()
            },
        )


def _has_hidden(host: Host, secrets: Sequence[Path], upstream: str) -> bool:
    """Whether its token may be a credential that only the service sees."""
    return hides_credentials(host) or any(path.name.endswith(f"upstream-{upstream}-token") for path in secrets)


def _gateway(name: str, settings: UpstreamSettings, mending: Mending, *, is_hidden: bool) -> GatewayFacts:
    """What is known before it is asked."""
    return GatewayFacts(
        name=name,
        base_url=settings.base_url,
        has_token=settings.token is not None,
        is_in_credential=is_hidden,
        change_address=mending.of(f"upstreams.{name}.base_url"),
        change_token=mending.of(f"upstreams.{name}.token"),
    )


def _address(settings: config.Settings, units: Sequence[Unit]) -> tuple[str, int]:
    """Where we listen: systemd's socket wins, where it is active."""
    sockets = (unit.address for unit in units if unit.holds_port)
    return next(filter(None, sockets), settings.listen_address)


def _ask_database(url: str, change: str) -> DatabaseFacts:
    path = sqlite_file(url)
    facts = DatabaseFacts(
        place=str(path) if path else mask_password(url),
        revisions=migrate.revisions(),
        is_server=path is None,
        change=change,
    )
    try:
        return replace(facts, found=inspect_database(url))
    except UnavailableError as error:
        return replace(facts, error=str(error))

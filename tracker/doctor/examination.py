"""Everything at once: what to find out, and what each answer means."""

import socket
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

import tracker
from tracker import config, log
from tracker.doctor.clocks import judge_clock
from tracker.doctor.configuration import CHECK as CONFIG
from tracker.doctor.configuration import judge_config
from tracker.doctor.errands import Errand, Patience
from tracker.doctor.exposure import LISTEN, ListenFacts, judge_guard, judge_listen
from tracker.doctor.findings import Finding
from tracker.doctor.gateways import judge_gateway, judge_watching
from tracker.doctor.host import Host, account, ask_journal, ask_systemd
from tracker.doctor.listening import Door
from tracker.doctor.mending import Mending
from tracker.doctor.permissions import CHECK as FILES
from tracker.doctor.permissions import judge_files
from tracker.doctor.running import PulseFacts, judge_daemon, judge_deliveries, judge_receivers
from tracker.doctor.service import JOURNAL, SERVICE, SOCKET, UNIT, Unit, judge_journal, judge_units, judge_watchdog
from tracker.doctor.settings import Asked, read_settings
from tracker.doctor.storage import DATABASE, DISK, DatabaseFacts, judge_database, judge_room
from tracker.doctor.survey import Survey
from tracker.store.inspection import Inspection

LONGEST_SECONDS = 9.0
"""For everything together."""


def examine(host: Host, asked: Asked) -> list[Finding]:
    """Look at everything there is; whatever takes too long is said to."""
    with log.quiet():
        return list(_examine(host, asked, Patience(LONGEST_SECONDS)))


def _examine(host: Host, asked: Asked, patience: Patience) -> Iterator[Finding]:
    journal = Errand(partial(ask_journal, host))
    shown = Errand(partial(ask_systemd, host))
    units = patience.hear(shown) or ()
    reading = Errand(partial(read_settings, host, asked, units))
    yield from patience.judge(CONFIG, reading, lambda read: [judge_config(read.facts)])
    read = patience.hear(reading)
    if read is not None and read.loaded is not None:
        mending = Mending(
            origins=read.loaded.origins,
            file=read.loaded.path,
            folder=host.system_path.parent,
            is_unit=any(unit.is_service and unit.is_there for unit in units),
        )
        survey = Survey.begin(read.host, read.loaded, units, mending)
        yield from _Judgement(survey, read.loaded.settings, units, patience, mending).findings()
    yield from patience.judge(UNIT, shown, judge_units)
    yield from judge_watchdog(units, time.clock_gettime(time.CLOCK_MONOTONIC))
    yield from patience.judge(JOURNAL, journal, lambda errors: [judge_journal(errors)])


class _Judgement:
    """What the survey means, in the order in which things hang on each other."""

    def __init__(
        self, survey: Survey, settings: config.Settings, units: Sequence[Unit], patience: Patience, mending: Mending
    ) -> None:
        self._survey = survey
        self._settings = settings
        self._units = units
        self._patience = patience
        self._mending = mending

    def findings(self) -> Iterator[Finding]:
        """All of them."""
        judge, survey = self._patience.judge, self._survey
        yield from judge(DATABASE, survey.database, lambda facts: [judge_database(facts)])
        yield from judge(DISK, survey.room, lambda room: [judge_room(room)])
        yield from judge(FILES, survey.files, partial(judge_files, account=account(self._units)))
        yield from judge(LISTEN, survey.door, lambda door: [judge_listen(self._listening(door))])
        change = self._mending.of("callbacks.allow_networks")
        yield from judge_guard(self._settings.callbacks.allow_networks, change=change)
        for name, errand in survey.gateways.items():
            yield from judge(f"upstream {name}", errand, lambda heard: [judge_gateway(heard.facts)])
        yield judge_clock(self._clocks())
        yield from self._inside()

    def _inside(self) -> Iterator[Finding]:
        """What only the database and the daemon know."""
        found = self._found()
        door = self._patience.hear(self._survey.door) or Door()
        if found is not None or door.is_ours:
            yield judge_daemon(self._pulse(door, found), found)
        if found is not None:
            yield from judge_watching(found, frozenset(self._settings.upstreams))
            yield from judge_deliveries(found)
            yield judge_receivers(found)

    def _found(self) -> Inspection | None:
        """What the database says; None where it is not one that we can work with."""
        facts: DatabaseFacts | None = self._patience.hear(self._survey.database)
        return facts.found if facts and facts.found and facts.found.revision == facts.revisions[-1] else None

    def _clocks(self) -> dict[str, timedelta]:
        facts = self._patience.hear(self._survey.database)
        server = facts.found.server_ahead if facts and facts.found else None
        ahead = {} if server is None else {"the database": server}
        for name, errand in self._survey.gateways.items():
            heard = self._patience.hear(errand)
            if heard is not None and heard.ahead is not None:
                ahead[f"upstream {name}"] = heard.ahead
        return ahead

    def _listening(self, door: Door) -> ListenFacts:
        host, port = self._survey.address
        is_held = any(unit.holds_port for unit in self._units)
        return ListenFacts(
            address=host,
            port=port,
            bind_error=door.bind_error,
            is_taken=door.is_taken,
            is_ours=door.is_ours or self._is_mute(door),
            holder=f"{door.holder.name} (pid {door.holder.pid})" if door.holder else None,
            metrics_need_token=self._settings.metrics.scope is not None,
            is_held_by_systemd=is_held,
            change="systemctl edit tracker.socket" if is_held else self._mending.of("listen"),
        )

    def _is_mute(self, door: Door) -> bool:
        """Whether a daemon of ours listens, and says nothing."""
        if door.is_ours or door.holder is None:
            return False
        found, here = self._found(), socket.gethostname()
        pids = {line.pid for line in found.daemons if line.host == here} if found else set()
        return door.holder.pid in pids or str(door.holder.pid) in {unit["MainPID"] for unit in self._units}

    def _kill(self, door: Door, found: Inspection | None) -> str:
        """What ends the daemon that no systemd ends; empty where it is not known which."""
        here = [line.pid for line in found.daemons if line.host == socket.gethostname()] if found else []
        pid = door.holder.pid if door.holder else next(iter(here), None)
        return f"kill {pid}; " if pid else ""

    def _pulse(self, door: Door, found: Inspection | None) -> PulseFacts:
        is_unit = self._mending.is_unit
        sockets = [unit.name for unit in self._units if unit.name == SOCKET and unit.is_there]
        late = "it listens and does not answer" if self._is_mute(door) else door.late
        versions = [line.version for line in found.daemons if not line.is_gone] if found else []
        return PulseFacts(
            answers=door.is_ours,
            late=late,
            version=versions[0] if versions else None,
            installed=tracker.__version__,
            start=f"systemctl start {' '.join([*sockets, SERVICE])}" if is_unit else "tracker serve",
            restart=f"systemctl restart {SERVICE}" if is_unit else f"{self._kill(door, found)}tracker serve",
        )

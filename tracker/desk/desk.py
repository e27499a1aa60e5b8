"""One desk for all doors: whom each asks before it lets somebody do something."""

from dataclasses import dataclass, replace
from typing import Self

from tracker.desk.allowance import Allowance
from tracker.desk.limits import Limits
from tracker.desk.news import News
from tracker.desk.ports import Ports
from tracker.desk.registrar import Registrar
from tracker.desk.tokens import TokenBook

MOST_TRIALS_A_MINUTE = 10
MOST_LINKS_A_MINUTE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What must be one and the same whichever door somebody came through."""

    tokens: TokenBook
    trials: Allowance
    """How many tests of URLs an owner may make."""
    links: Allowance
    """How many links that sign in to the pages an owner may make."""
    limits: Limits
    registrar: Registrar
    news: News

    @classmethod
    def of(cls, ports: Ports) -> Self:
        """The desk of one daemon."""
        limits = Limits(ports.settings.limits, ports.database, ports.timer)
        return cls(
            tokens=TokenBook(ports.database, ports.clock, ports.timer),
            trials=Allowance(MOST_TRIALS_A_MINUTE, "tests a minute", ports.timer),
            links=Allowance(MOST_LINKS_A_MINUTE, "links a minute", ports.timer),
            limits=limits,
            registrar=_registrar(ports, limits),
            news=News(ports.database, ports.stopping),
        )

    def under(self, ports: Ports) -> Self:
        """The same desk under other settings: who listens counts on, as does what was used up of the same limits."""
        limits = self.limits
        if limits.settings != ports.settings.limits:
            limits = Limits(ports.settings.limits, ports.database, ports.timer)
        return replace(self, limits=limits, registrar=_registrar(ports, limits))


def _registrar(ports: Ports, limits: Limits) -> Registrar:
    return Registrar(ports.database, ports.intake, limits, ports.watching)

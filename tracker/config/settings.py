"""Every setting: its name, its kind, its default and one line of description; the sample file is made from this."""

from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from tracker.config.addresses import BaseUrl, DatabaseUrl, Listen, Receiver
from tracker.config.fields import (
    FOLDED,
    Duration,
    Flag,
    Hosts,
    Name,
    Networks,
    OptionalName,
    Rate,
    Schedule,
    Token,
    quote,
    refusal,
    whole,
    whole_or_none,
)
from tracker.errors import ConfigError

Count = Annotated[int, whole(1, 10_000)]
BatchSize = Annotated[int, whole(1, 1_000)]
Cap = Annotated[int | None, whole_or_none(1, 10_000_000)]
DIALECTS = ("midjourney",)
"""What a configuration may name. Who speaks them is a floor above: the providers, which nothing here may import."""


class Section(BaseModel):
    """A frozen table of settings that takes no key it does not know, and never repeats a value in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class UpstreamSettings(Section):
    """One remote API: where it is, how to speak to it, how often to look."""

    base_url: BaseUrl = Field(
        description="Address of the gateway; may already end in /mj, /mj-fast/mj or /.",
        examples=["https://gateway.example/mj"],
    )
    token: Token = Field(
        default=None,
        description="What the gateway wants to be shown; better kept in the credential upstream-<name>-token.",
        examples=["sk-0123456789"],
    )
    dialect: Name = Field(default="midjourney", description="The kind of gateway it is.")
    auth: Annotated[Literal["bearer", "raw", "mj-api-secret"], FOLDED] = Field(
        default="bearer",
        description="How the token travels: bearer (Authorization: Bearer …), raw (Authorization: …) or mj-api-secret.",
    )
    poll_interval: Duration = Field(
        default=timedelta(seconds=5), description="Base pace of looking at a task; the cadence adapts around it."
    )
    batch: Annotated[Literal["auto", "on", "off"], FOLDED] = Field(
        default="auto", description="Whether to ask for many tasks in one call: auto (find out, fall back), on or off."
    )
    batch_size: BatchSize = Field(default=100, description="Most ids in one list call, 1 to 1000.")
    max_in_flight: Count = Field(default=8, description="Most requests to it at the same moment, 1 to 10000.")
    max_requests_per_second: Rate = Field(
        default=None, description="Most requests to it in a second; without it no limit.", examples=[5]
    )
    timeout: Duration = Field(default=timedelta(seconds=15), description="Longest time a whole exchange may take.")
    expire_after: Duration = Field(
        default=timedelta(hours=24), description="A task without an end for this long becomes expired."
    )
    lost_after: Duration = Field(
        default=timedelta(minutes=10),
        description="A task unknown to it for this long, and at least 5 times in a row, becomes lost.",
    )


_RETRY_SCHEDULE = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)


class CallbackSettings(Section):
    """How messages are sent to the receivers."""

    retry_schedule: Schedule = Field(
        default=_RETRY_SCHEDULE,
        description="Waits before each attempt, with ±20 % jitter; there are no more attempts.",
    )
    timeout: Duration = Field(default=timedelta(seconds=20), description="One deadline over a whole attempt.")
    max_in_flight: Count = Field(default=64, description="Most attempts at the same moment, 1 to 10000.")
    max_in_flight_per_endpoint: Count = Field(
        default=4, description="Most attempts at the same moment to one endpoint (scheme, host and port), 1 to 10000."
    )
    sending_processes: Annotated[int, whole(0, 64)] = Field(
        default=0,
        description="Processes of their own that make the attempts, 0 to 64; with 0 the daemon's own process does.",
    )
    max_per_second_per_endpoint: Rate = Field(
        default=None,
        description="Most attempts to one endpoint in a second; without it no limit.",
        examples=[10],
    )
    allow_networks: Networks = Field(
        default=(),
        description='Private networks that receivers may live in, like ["10.0.0.0/8"]; 127.0.0.1 means ::1 too.',
    )
    require_https: Flag = Field(default=False, description="Whether callbacks to plain http:// are refused.")
    format: Annotated[Literal["standard", "upstream"], FOLDED] = Field(
        default="standard", description="Body of a message: standard, or upstream (the gateway's own JSON, bare)."
    )


class RetentionSettings(Section):
    """How long things are kept."""

    tasks: Duration = Field(
        default=timedelta(days=90), description="How long a task and its history are kept, counted from its end."
    )
    attempts: Duration = Field(
        default=timedelta(days=30), description="How long attempts of deliveries are kept, counted from the task's end."
    )
    bodies: Duration = Field(
        default=timedelta(days=30), description="How long bodies of messages are kept, counted from the task's end."
    )


class LimitSettings(Section):
    """How much of the tracker one owner may take, so that none of them starves the others."""

    live_tasks_per_owner: Cap = Field(
        default=None,
        description="Most live tasks of an owner: with so many the API takes no new ones. Without it no limit.",
        examples=[10_000],
    )
    registrations_per_minute_per_owner: Cap = Field(
        default=None,
        description="Most registrations of an owner by the API in a minute, spread or at once. Without it no limit.",
        examples=[600],
    )


class WebSettings(Section):
    """The pages for people."""

    hosts: Hosts = Field(
        default=(),
        description='Names of the pages besides localhost and addresses, like ["tracker.example"].',
    )
    images: Annotated[Literal["on_request", "always", "never"], FOLDED] = Field(
        default="on_request",
        description="Whether pages load pictures from where the upstream keeps them: on_request, always or never.",
    )


class MetricsSettings(Section):
    """Who may see the metrics."""

    scope: Annotated[Literal["read", "write", "admin"] | None, FOLDED] = Field(
        default=None,
        description="What a token must allow to see /metrics: read, write or admin; without it no token is needed.",
        examples=["read"],
    )


class LogSettings(Section):
    """What is logged, and how it looks."""

    format: Annotated[Literal["auto", "console", "json"], FOLDED] = Field(
        default="auto", description="console, json (a line per event), or auto: console on a terminal, json elsewhere."
    )
    level: Annotated[Literal["debug", "info", "warning", "error"], FOLDED] = Field(
        default="info", description="The least that is logged: debug, info, warning or error."
    )


_Upstreams = Annotated[Mapping[Name, UpstreamSettings], AfterValidator(MappingProxyType)]


class Settings(Section):
    """The whole configuration, parsed once."""

    database_url: DatabaseUrl = Field(
        default="sqlite:///./tracker.db",
        description="Where everything is kept: sqlite:///path/to/tracker.db or postgresql://user:password@host/name.",
        repr=False,
    )
    listen: Listen = Field(
        default="127.0.0.1:8640",
        description="Address and port of the API and the pages; port 0 takes any that is free.",
    )
    upstreams: _Upstreams = Field(
        default_factory=lambda: MappingProxyType({}), description="The gateways to watch, each under a name of its own."
    )
    default_upstream: OptionalName = Field(
        default=None,
        description="The upstream of a task that names none; without it the only one, or the one called default.",
        examples=["default"],
    )
    operator_callback_url: Receiver = Field(
        default=None,
        description="Where an endpoint that is paused, disabled or recovers is told to whoever runs this; "
        "may be in a private network.",
        examples=["https://ops.example/tracker"],
        repr=False,
    )
    callbacks: CallbackSettings = CallbackSettings()
    retention: RetentionSettings = RetentionSettings()
    limits: LimitSettings = LimitSettings()
    metrics: MetricsSettings = MetricsSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    @field_validator("default_upstream")
    @classmethod
    def _names_an_upstream(cls, name: str | None, info: ValidationInfo) -> str | None:
        upstreams = info.data.get("upstreams")
        if name is None or upstreams is None or name in upstreams:
            return name
        close = get_close_matches(name, upstreams, n=1)
        known = f"did you mean {close[0]}?" if close else f"known are: {', '.join(upstreams) or 'none'}"
        raise refusal(f"{quote(name)} is not the name of an upstream", known)

    def must_have_upstreams(self) -> None:
        """Raise ConfigError where there is nothing to watch."""
        if not self.upstreams:
            both = "TRACKER_UPSTREAMS__DEFAULT__BASE_URL and TRACKER_UPSTREAMS__DEFAULT__TOKEN"
            raise ConfigError("upstreams", "none is configured", f"{both} in the environment suffice")

    @property
    def upstream_default(self) -> str | None:
        """The upstream of a task that names none; None where it has to name one."""
        if self.default_upstream is not None:
            return self.default_upstream
        if len(self.upstreams) == 1:
            return next(iter(self.upstreams))
        return "default" if "default" in self.upstreams else None

    @property
    def listen_address(self) -> tuple[str, int]:
        """The host (an IPv6 one without its brackets) and the port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

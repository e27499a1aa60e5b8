"""The configuration: read once from all its layers into one frozen value."""

from tracker.config.addresses import shown_database
from tracker.config.layers import Loaded, load
from tracker.config.notation import example, show
from tracker.config.reloading import AT_A_START, Reloaded, reload
from tracker.config.settings import (
    CallbackSettings,
    LimitSettings,
    LogSettings,
    RetentionSettings,
    Settings,
    UpstreamSettings,
)

__all__ = [
    "AT_A_START",
    "CallbackSettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "Reloaded",
    "RetentionSettings",
    "Settings",
    "UpstreamSettings",
    "example",
    "load",
    "reload",
    "show",
    "shown_database",
]

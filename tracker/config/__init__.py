"""The configuration: read once from all its layers into one frozen value."""

from tracker.config.layers import Loaded, load
from tracker.config.notation import example, show
from tracker.config.settings import (
    CallbackSettings,
    LimitSettings,
    LogSettings,
    RetentionSettings,
    Settings,
    UpstreamSettings,
)

__all__ = [
    "CallbackSettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "RetentionSettings",
    "Settings",
    "UpstreamSettings",
    "example",
    "load",
    "show",
]

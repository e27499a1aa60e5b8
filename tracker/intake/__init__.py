"""Accepting: who asks, what they want, and writing it down before anyone is told that it is."""

from tracker.intake.callers import SCOPES, Caller
from tracker.intake.intake import Dropped, Intake
from tracker.intake.requests import LARGEST_BATCH, RegistrationRequest, TrialRequest, explain, parse

__all__ = [
    "LARGEST_BATCH",
    "SCOPES",
    "Caller",
    "Dropped",
    "Intake",
    "RegistrationRequest",
    "TrialRequest",
    "explain",
    "parse",
]

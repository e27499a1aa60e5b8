"""Accepting: who asks, what they want, and writing it down before anyone is told that it is."""

from tracker.intake.callers import SCOPES, Caller
from tracker.intake.intake import Dropped, Intake
from tracker.intake.plain import PlainRequest, read_many, read_one
from tracker.intake.requests import LARGEST_BATCH, RegistrationRequest, TrialRequest, explain, parse

__all__ = [
    "LARGEST_BATCH",
    "SCOPES",
    "Caller",
    "Dropped",
    "Intake",
    "PlainRequest",
    "RegistrationRequest",
    "TrialRequest",
    "explain",
    "parse",
    "read_many",
    "read_one",
]

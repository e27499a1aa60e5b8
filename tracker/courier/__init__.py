"""Telling: sends what is due, learns how endpoints are doing, writes down what came of it, tells the operator."""

from tracker.courier.announcer import Announcer
from tracker.courier.courier import Courier
from tracker.courier.ports import Ports, Sender

__all__ = ["Announcer", "Courier", "Ports", "Sender"]

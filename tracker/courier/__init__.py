"""Telling: sends what is due, learns how endpoints are doing, writes down what came of it."""

from tracker.courier.courier import Courier
from tracker.courier.ports import Ports, Sender

__all__ = ["Courier", "Ports", "Sender"]

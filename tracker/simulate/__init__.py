"""The fakes that ship with the product: a gateway whose tasks live and end, and a receiver that checks signatures."""

from tracker.simulate.gateway import Gateway
from tracker.simulate.lives import Ending, Life
from tracker.simulate.receiver import Arrival, Receiver
from tracker.simulate.server import serve_app

__all__ = ["Arrival", "Ending", "Gateway", "Life", "Receiver", "serve_app"]

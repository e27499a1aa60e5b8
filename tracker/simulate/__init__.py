"""The fakes that ship with the product: a gateway whose tasks live and end, and a receiver that checks signatures."""

from tracker.simulate.forwarding import forward_to
from tracker.simulate.gateway import Gateway
from tracker.simulate.listener import Listener, always
from tracker.simulate.lives import Ending, Life
from tracker.simulate.receiver import Arrival, Receiver
from tracker.simulate.server import serve_app

__all__ = ["Arrival", "Ending", "Gateway", "Life", "Listener", "Receiver", "always", "forward_to", "serve_app"]

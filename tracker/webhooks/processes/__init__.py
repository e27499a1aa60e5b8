"""Sending from processes of its own: the daemon orders attempts, they make them and report."""

from tracker.webhooks.processes.parent import SendingProcesses
from tracker.webhooks.processes.wire import Equipment

__all__ = ["Equipment", "SendingProcesses"]

"""What this host is called: one name for runs, locks, alerts and the audit, so that they can be joined by it."""

import socket


def host_name() -> str:
    """Return this host's short name, without its domain."""
    return socket.gethostname().split(".")[0]

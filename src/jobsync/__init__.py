"""Scheduled business jobs as one-shot commands: systemd wakes them, Postgres says what is due."""

__version__ = "0.1.0"

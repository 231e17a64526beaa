"""The entry: a scheduled tick with nothing due ends here; all else goes to the command line."""

import sys


def main() -> None:
    """Run the command line of this process."""
    if "--scheduled" in sys.argv:
        from jobsync.tick import nothing_is_due

        if nothing_is_due(sys.argv[1:]):
            _leave(0)
    from jobsync.cli.main import run

    _leave(run(sys.argv[1:]))


def _leave(code: int) -> None:
    """End the process without the interpreter's tidying up, which takes longer than an idle tick: all is closed."""
    import os

    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - contextlib is heavy
            stream.flush()
        except (OSError, ValueError):  # its reader is gone; the exit code still tells
            pass
    os._exit(code)


if __name__ == "__main__":
    main()

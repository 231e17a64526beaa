"""The entry: a scheduled tick with nothing due ends here; all else goes to the command line."""

import _signal as signal  # type: ignore[import-not-found] # its Python side brings enum, which an idle tick need not pay
import gc
import os
import sys


def main() -> None:
    """Run the command line of this process."""
    try:
        from jobsync.runner.signals import note_stops

        note_stops(sys.argv[1:])
        _open_missing_streams()
        code = 0 if _is_idle_tick() else _run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, lambda *_: None)  # a third Ctrl-C would end this very import, with a traceback
        from jobsync.errors import ExitCode

        code = int(ExitCode.INTERRUPTED)
    _leave(code)


def _is_idle_tick() -> bool:
    under_cron = sys.argv[1:3] == ["cron", "run"]
    if not under_cron and "--scheduled" not in sys.argv:
        return False
    from jobsync.tick import nothing_is_due, was_failing

    if under_cron:
        job = sys.argv[3] if len(sys.argv) == 4 else ""
        return nothing_is_due([job, "--scheduled"]) and not was_failing(job)
    return nothing_is_due(sys.argv[1:])


def _run() -> int:
    gc.set_threshold(50_000, 20, 100)  # imports and feeds are many small objects without cycles
    from jobsync.cli.main import run

    return run(sys.argv[1:])


def _open_missing_streams() -> None:
    """Give the process the standard streams that its parent closed, before a socket or a file takes their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _leave(code: int) -> None:
    """End the process without the interpreter's tidying up, which takes longer than an idle tick: all is closed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):  # its reader is gone; the exit code still tells
            pass
        except OSError:  # its disk is full: nobody may take a cut output for the whole
            code = code or int(stream is sys.stdout)
    os._exit(code)


if __name__ == "__main__":
    main()

"""Runs the command line, and turns what it raises into one sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobsync.wiring import Tools


def run(arguments: Sequence[str], tools: Tools | None = None) -> int:
    """
    Run one command and return its exit code.

    Args:
        tools: the world to use; None means the real one.
    """
    import typer

    from jobsync.cli.app import app
    from jobsync.errors import ExitCode, JobsyncError
    from jobsync.logs import visible

    # Typer's own root of all that a command line can be wrong in
    usage_error: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    as_json = "--json" in arguments
    try:
        result = app(list(arguments), standalone_mode=False, obj=tools, prog_name="jobsync")
        return int(result) if isinstance(result, int) else 0
    except JobsyncError as error:
        return _complain(visible(error), int(error.exit_code), as_json=as_json)
    except typer.Abort:
        return _complain("cancelled", 130, as_json=as_json)
    except usage_error as error:
        error.show()
        code = int(getattr(error, "exit_code", ExitCode.USAGE))
        return _complain(None if code else "", code, as_json=as_json, document_text=str(error))
    except BrokenPipeError:
        _close_quietly()
        return 0
    except Exception:
        if as_json:
            _complain(None, int(ExitCode.FAILED), as_json=True, document_text="internal error; see standard error")
        raise


def _complain(sentence: str | None, code: int, *, as_json: bool, document_text: str | None = None) -> int:
    if sentence:
        sys.stderr.write(f"jobsync: {sentence}\n")
    if as_json:
        from jobsync.cli.output import print_json
        from jobsync.logs import visible

        print_json({"error": visible(document_text or sentence or ""), "exit_code": code})
    return code


def _close_quietly() -> None:
    """The reader of our output is gone: nothing more can be said there, not even at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

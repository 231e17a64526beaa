"""Runs the command line, and turns what it raises into one sentence and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobsync.wiring import Tools


_INTERRUPTED = 130


def run(arguments: Sequence[str], tools: Tools | None = None) -> int:
    """
    Run one command and return its exit code.

    Args:
        tools: the world to use; None means the real one.
    """
    import typer

    from jobsync.cli.app import app
    from jobsync.errors import ExitCode, JobsyncError, UsageProblem
    from jobsync.logs import close_quietly, complain, visible, visible_lines

    # Typer's own root of all that a command line can be wrong in
    usage_error: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    as_json = "--json" in arguments
    try:
        if any("\ud800" <= sign <= "\udfff" for argument in arguments for sign in argument):
            raise UsageProblem("an argument is not valid UTF-8 text; nothing was done")
        result = app(list(arguments), standalone_mode=False, obj=tools, prog_name="jobsync")
        if result == _INTERRUPTED:  # Typer's own way to say so
            return _complain("cancelled", _INTERRUPTED, as_json=as_json)
        return int(result) if isinstance(result, int) else 0
    except JobsyncError as error:
        return _complain(visible(error), int(error.exit_code), as_json=as_json)
    except typer.Abort:
        return _complain("cancelled", _INTERRUPTED, as_json=as_json)
    except usage_error as error:
        error.show()
        code = int(getattr(error, "exit_code", ExitCode.USAGE))
        return _complain(None if code else "", code, as_json=as_json, document_text=str(error))
    except BrokenPipeError:  # whoever read our output or our complaints has gone
        close_quietly(sys.stdout)
        close_quietly(sys.stderr)
        return int(ExitCode.FAILED)
    except Exception:  # noqa: BLE001 - a bug keeps its traceback, but not the secrets or escapes in it
        complain(visible_lines(traceback.format_exc()))
        text = "internal error; see standard error"
        return _complain(None, int(ExitCode.FAILED), as_json=as_json, document_text=text)


def _complain(sentence: str | None, code: int, *, as_json: bool, document_text: str | None = None) -> int:
    from jobsync.logs import complain, visible

    if sentence:
        complain(f"jobsync: {sentence}")
    if as_json:
        from jobsync.cli.output import print_json

        print_json({"error": visible(document_text or sentence or ""), "exit_code": code})
    return code

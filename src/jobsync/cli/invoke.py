"""Runs one command of a program, and turns what it raises into one sentence and an exit code."""

import errno
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import typer

from jobsync.cli.output import print_json, take_loss
from jobsync.errors import ExitCode, JobsyncError, UsageProblem
from jobsync.jobs import BY_NAME
from jobsync.logs import close_quietly, complain, visible, visible_lines
from jobsync.masking import mask_secrets, register_secret
from jobsync.wiring import Tools

_SENTENCE_MOST = 1000
_SPENT = {
    errno.EMFILE: "this process may open no more files (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "this machine can open no more files (sysctl fs.file-max)",
    errno.ENOMEM: "there is no memory left (ulimit -v, MemoryMax=, free -m)",
    errno.ENOSPC: "a disk is full (df -h)",
    errno.EDQUOT: "the disk quota is used up (quota)",
}


def invoke(program: Any, arguments: Sequence[str], tools: Tools | None) -> int:
    """Run a command of a program (its root, as Typer makes it) and return its exit code."""
    as_json = "--json" in arguments
    take_loss()
    code = _invoke(program, arguments, tools, as_json=as_json)
    if lost := take_loss():
        complain(f"jobsync: standard output cannot be written ({lost}); what is there is not whole")
        # a job's exit code is the run's verdict, which its row keeps; a lost table is only said, unlike a document
        called = next((word for word in arguments if not word.startswith("-")), None)
        if code == 0 and called and (as_json or called not in BY_NAME):
            return int(ExitCode.FAILED)
    return code


def _invoke(program: Any, arguments: Sequence[str], tools: Tools | None, *, as_json: bool) -> int:
    try:
        if any("\ud800" <= sign <= "\udfff" for argument in arguments for sign in argument):
            raise UsageProblem("an argument is not valid UTF-8 text; nothing was done")
        result = program(list(arguments), standalone_mode=False, obj=tools, prog_name="jobsync")
        if result == ExitCode.INTERRUPTED and not isinstance(result, ExitCode):  # Typer's own way to say so, no run's
            return _complain("cancelled", int(ExitCode.INTERRUPTED), as_json=as_json)
        return int(result) if isinstance(result, int) else 0
    except JobsyncError as error:
        return _complain(visible(error), int(error.exit_code), as_json=as_json)
    except typer.Abort:
        return _complain("cancelled", int(ExitCode.INTERRUPTED), as_json=as_json)
    except BrokenPipeError:  # the reader of our output has gone
        close_quietly(sys.stdout)
        close_quietly(sys.stderr)
        return int(ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - a bug keeps its traceback, but not the secrets or escapes in it
        if isinstance(error, _CommandLineError):
            for word in arguments:  # no complaint quotes the password of an address that stands where none belongs
                for password in passwords_of(word):
                    register_secret(password)
            return _show(error, as_json=as_json)
        known = _problem_of(error)
        if known is not None:
            return _complain(visible(known), int(known.exit_code), as_json=as_json)
        complain(visible_lines(traceback.format_exc()))
        text = "internal error; see standard error"
        return _complain(None, int(ExitCode.FAILED), as_json=as_json, document_text=text)


@runtime_checkable
class _CommandLineError(Protocol):
    """What Typer raises of a wrong command line, as its documentation has it: errors that can show themselves."""

    exit_code: int
    message: str

    def show(self) -> None: ...
    def format_message(self) -> str: ...


def _show(error: _CommandLineError, *, as_json: bool) -> int:
    if type(error).__name__ != "NoArgsIsHelpError":  # the whole help, for want of arguments: it quotes nothing
        error.message = mask_secrets(_in_words(str(error.message)))
    try:
        error.show()
    except OSError:  # standard error is full, or its reader has gone
        close_quietly(sys.stderr)
    code = error.exit_code
    return _complain(None if code else "", code, as_json=as_json, document_text=error.format_message())


def passwords_of(word: str) -> list[str]:
    """Return the passwords in a word of a command line: of an address, or as libpq's `password=`."""
    if "://" not in word and "password" not in word:
        return []
    from jobsync.db.engine import passwords_in  # the driver reads URLs as it does; hardly anybody needs it

    return [*passwords_in(word), *passwords_in(word.partition("=")[2])]


def _in_words(sentence: str) -> str:
    """Return a complaint of Typer's without the names of Python's types; it quotes what was typed, however long."""
    half = _SENTENCE_MOST // 2
    sentence = sentence if len(sentence) <= _SENTENCE_MOST else f"{sentence[:half]}…{sentence[-half:]}"
    whole = re.sub(r"is not a valid int(eger)?( range)?\b", "is not a whole number", sentence)
    return re.sub(r"is not a valid float( range)?\b", "is not a number", whole)


def _problem_of(error: Exception) -> JobsyncError | None:
    """Return what an error means that no command expects, but a machine or an administrator can cause anywhere."""
    number = error.errno if isinstance(error, OSError) else None
    number = errno.ENOMEM if isinstance(error, MemoryError) else number
    if number in _SPENT:
        return JobsyncError(f"{_SPENT[number]}: {error}")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return JobsyncError("no thread could be started: too little memory or too many (ulimit -v -u, TasksMax=)")
    if "psycopg" not in sys.modules:
        return None
    from jobsync.db.engine import problem_of

    return problem_of(error)


def _complain(sentence: str | None, code: int, *, as_json: bool, document_text: str | None = None) -> int:
    if sentence:
        complain(f"jobsync: {sentence}")
    if as_json:
        print_json({"error": visible(document_text or sentence or ""), "exit_code": code})
    return code

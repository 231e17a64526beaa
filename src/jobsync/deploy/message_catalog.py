"""What `journalctl -x` says below an entry of ours: what happened, and the next command."""

from __future__ import annotations

from jobsync.journal import MESSAGE_IDS

CATALOG = "/usr/local/lib/systemd/catalog/jobsync.catalog"

_RUN = "jobsync runs show @JOBSYNC_RUN_ID@"
_DOCUMENT = "jobsync invoice show @JOBSYNC_ACCESS_KEY@"

# event: subject, what happened, the next command. @NAME@ is a field of the entry.
ENTRIES = {
    "run.finished": (
        "A run of @JOBSYNC_JOB@ ended: @JOBSYNC_OUTCOME@",
        "It did what was due. With an exit code other than 0, some of it failed, was refused, or waits for a person.",
        _RUN,
    ),
    "run.skipped": (
        "A run of @JOBSYNC_JOB@ was skipped",
        "Another run holds the lock; the line names it. Nothing was done, and the next tick tries again.",
        "jobsync locks",
    ),
    "run.failed": (
        "A run of @JOBSYNC_JOB@ was broken off",
        "What the line says kept it from going on. What was finished before stands; the rest is still due.",
        _RUN,
    ),
    "run.bug": (
        "A run of @JOBSYNC_JOB@ met a bug",
        "The traceback says where. What was finished before stands; the rest is still due. Please report it.",
        _RUN,
    ),
    "run.found_crashed": (
        "An earlier run had died",
        "Its process was killed, ran out of memory, or lost power. Nothing is half-done, nothing has to be repaired.",
        "jobsync runs show @JOBSYNC_CRASHED_RUN@",
    ),
    "run.stopping": (
        "A run of @JOBSYNC_JOB@ was asked to stop",
        "It finishes what is in work, starts nothing more, and ends as cancelled. The rest is still due.",
        _RUN,
    ),
    "run.globally_disabled": (
        "@JOBSYNC_JOB@ is switched off",
        "Its switch in the settings is off, so every run of it does nothing. The audit says who did that.",
        "jobsync audit",
    ),
    "run.verdict_not_recorded": (
        "The end of a run could not be recorded",
        "The database did not answer when the run ended. What it did stands; its record will show it as crashed.",
        "jobsync doctor",
    ),
    "item.bug": (
        "A bug in one item",
        "The traceback says where. The other items went on. Please report it.",
        _RUN,
    ),
    "stock_sync.dealership_finished": (
        "The stock of dealership @JOBSYNC_DEALERSHIP_ID@ was synced: @JOBSYNC_OUTCOME@",
        "The line counts what was created, updated, refused, held and removed.",
        "jobsync dealership show @JOBSYNC_DEALERSHIP_ID@",
    ),
    "stock_sync.dealership_failed": (
        "Dealership @JOBSYNC_DEALERSHIP_ID@ was not synced",
        "None of its vehicles was touched. What may pass is tried again by itself; refused credentials are not.",
        "jobsync credentials test @JOBSYNC_DEALERSHIP_ID@",
    ),
    "check_authorizations.asked": (
        "The SRI was asked about a document: @JOBSYNC_OUTCOME@",
        "Its answer is kept word for word, and so is the document's whole story.",
        _DOCUMENT,
    ),
    "check_authorizations.failed": (
        "The SRI gave no usable answer",
        "The document is as it was and is asked about again.",
        _DOCUMENT,
    ),
    "check_authorizations.circuit": (
        "The circuit of @JOBSYNC_HOST@ has turned",
        "Open: five faults in a row; one call a run tries the host until it answers. Closed: it does. Nothing is lost.",
        "jobsync doctor",
    ),
    "generate_ride.rendered": (
        "A document was printed",
        "The file is whole, and its hash is in the database.",
        _DOCUMENT,
    ),
    "generate_ride.failed": (
        "A document could not be printed",
        "The line says why. What may pass is tried again by itself; a document without readable XML is not.",
        _DOCUMENT,
    ),
    "generate_ride.storage": (
        "The storage of the printed files could not be written",
        "Nothing is lost: what waits is printed once it can be. Is it mounted, full, or not the service's own?",
        "jobsync doctor",
    ),
    "alert.sent": ("People were told", "The line has what they were told.", "jobsync health"),
    "alert.not_sent": (
        "A message could not be sent",
        "It is tried again by the next alert or health run.",
        "jobsync doctor",
    ),
    "health.no_database": (
        "This host cannot use the database",
        "It was tried twice, 20 s apart. Alerts go on without it.",
        "jobsync doctor",
    ),
    "command.bug": ("A command met a bug", "The traceback says where. Please report it.", "jobsync doctor"),
    "command.failed": ("A command did not do what it was asked", "The line says why.", "jobsync status"),
}


def render_catalog() -> str:
    """Return the text of the catalog, as catalog(5) of systemd takes it."""
    entries = [
        f"-- {MESSAGE_IDS[event]}\nSubject: {subject}\nDefined-By: jobsync\nDocumentation: man:jobsync(1)\n\n"
        f"{text}\n\nNext: {command}\n"
        for event, (subject, text, command) in ENTRIES.items()
    ]
    return "# what journalctl -x says of jobsync's entries\n\n" + "\n".join(entries)

"""What can be wrong, as a closed list: each cause with what it means, what mends it, and whether waiting may."""

from __future__ import annotations

import re
from enum import StrEnum

# The questions that health asks, or what a host meets by itself; their values are the names in lower case.
Kind = StrEnum(
    "Kind",
    "CONFIGURATION DATABASE UNIT TICK SKIPS DURATION FAILURES CREDENTIALS SILENCE HELD CIRCUIT QUEUE STORAGE RIDE"
    " DOCUMENTS SETTINGS PRUNE MAIL",
)


class Cause(StrEnum):
    """Why something needs a person; with kind and subject the identity of an alert."""

    kind: Kind
    meaning: str
    remedy: str  # what to type or do; words in capitals (ID, RUN, UNIT, ...) stand for the subject
    lasts: bool  # no retry mends it: told when it is first seen, not after failures in a row

    def __new__(cls, card: str) -> Cause:
        """Read a card: the code with kind and whether it lasts, a line with the meaning, then the remedy."""
        head, *said = (line.strip() for line in card.splitlines())
        code, _, about = head.removesuffix(")").partition(" (")
        cause = str.__new__(cls, code)
        cause._value_, cause.kind = code, Kind(about.removesuffix(", lasts"))
        cause.meaning, cause.remedy, cause.lasts = said[0], " ".join(said[1:]), about.endswith(", lasts")
        return cause

    def do(self, **names: object) -> str:
        """
        Return the remedy for one subject.

        >>> Cause.NO_SUCCESS.do(ID=4)
        'jobsync dealership show 4; jobsync credentials test 4; then: jobsync stock-sync --dealership 4'
        """
        return re.sub(r"\b[A-Z]+\b", lambda word: str(names.get(word[0], word[0])), self.remedy)

    # The database as one host sees it, in the order in which it is looked at: who meets one of them has passed all
    # before it.
    CONFIGURATION_WRONG = """configuration_wrong (configuration, lasts)
        environment, credentials or configuration file of the host cannot be used
        each mistake: jobsync doctor; correct /etc/jobsync/config.toml, the credential or the unit's environment"""
    DATABASE_UNREACHABLE = """database_unreachable (database)
        the database does not answer
        on its host: systemctl status postgresql; the way there: jobsync doctor"""
    DATABASE_NO_ROOM = """database_no_room (database)
        the server, or a pooler before it, has no connection left for jobsync
        who holds them: SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2; raise
        max_connections, the role's CONNECTION LIMIT or the pooler's pool"""
    DATABASE_LOGIN_REFUSED = """database_login_refused (database, lasts)
        the server refuses role, password or database of the URL
        correct JOBSYNC_DATABASE_URL, the role, or pg_hba.conf; whether it is taken: jobsync db status"""
    DATABASE_STANDBY = """database_standby (database)
        the server is a standby, which takes no writes until it is promoted
        name the primary in JOBSYNC_DATABASE_URL, or every host: postgresql://HOST1,HOST2/DATABASE"""
    DATABASE_READ_ONLY = """database_read_only (database, lasts)
        server, database or role are set so that nothing can be written
        what sets it, and the statement that lifts it: jobsync doctor"""
    ROWS_HIDDEN = """rows_hidden (database, lasts)
        row-level security hides rows of jobsync's tables from its role
        the tables, and the statements that show their rows: jobsync db status"""
    SCHEMA_MISSING = """schema_missing (database, lasts)
        the database has no tables of jobsync, or not in the schema that is configured
        jobsync db upgrade"""
    SCHEMA_OLDER = """schema_older (database, lasts)
        the tables are older than the jobsync that is installed
        jobsync db upgrade"""
    SCHEMA_NEWER = """schema_newer (database, lasts)
        the tables are newer than the jobsync that is installed on this host
        install here the version that the other hosts have; what is there: jobsync --version; jobsync db status"""
    SCHEMA_DAMAGED = """schema_damaged (database, lasts)
        a table, a column or a function of jobsync is missing or was changed
        what is missing: jobsync doctor; bring it back from a backup (docs/backup.md)"""
    DATABASE_RIGHT_MISSING = """database_right_missing (database, lasts)
        jobsync's role may not read or write one of its tables
        which, and the statements that grant it: jobsync doctor (docs/least-privilege.md)"""
    DATABASE_DISK_FULL = """database_disk_full (database)
        the server cannot write for want of disk
        free disk on the server, where its data lies: SHOW data_directory; df -h; then: jobsync runs prune"""
    DATABASE_LOCKED = """database_locked (database)
        another session keeps locked what is to be written
        who: SELECT pid, usename, xact_start, query FROM pg_stat_activity ORDER BY xact_start LIMIT 5"""

    # What systemd and the record say of a unit that failed.
    UNIT_CONFIGURATION = """unit_configuration (unit, lasts)
        a unit ended for its configuration, which other units need not share
        jobsync doctor; what it said: journalctl -u UNIT -n 50"""
    UNIT_NOT_STARTED = """unit_not_started (unit, lasts)
        systemd could not start the program: it is not there, or may not be run
        systemctl status UNIT; the unit anew: jobsync units install"""
    UNIT_UNAVAILABLE = """unit_unavailable (unit)
        a unit ended because a service that it asked did not answer
        jobsync status; the way there: jobsync doctor; what it said: journalctl -u UNIT -n 50"""
    UNIT_LOCK_LOST = """unit_lock_lost (unit)
        a run lost its lock, and wrote nothing from then on: its connection to the database broke
        jobsync runs list; what it said: journalctl -u UNIT -n 50"""
    UNIT_TIMED_OUT = """unit_timed_out (unit)
        a run was ended at its deadline; what was left stays due
        jobsync runs list; what took so long: journalctl -u UNIT -n 50"""
    UNIT_WATCHDOG = """unit_watchdog (unit)
        a run stood still, and the watchdog ended it
        where it stood: journalctl -u UNIT -n 50"""
    UNIT_KILLED = """unit_killed (unit)
        a run was killed, or died of a signal
        jobsync runs list; who did it: journalctl -u UNIT -n 50"""
    UNIT_OUT_OF_MEMORY = """unit_out_of_memory (unit)
        a run needed more memory than its unit may have
        raise MemoryMax: systemctl edit UNIT; the largest run: jobsync runs list"""
    UNIT_FAILED = """unit_failed (unit)
        a unit ended with an error for which there is no cause of its own
        jobsync runs list; what it said: journalctl -u UNIT -n 50"""
    VENDOR_UNREACHABLE = """vendor_unreachable (unit)
        the vendor gave no usable answer for this dealership
        jobsync runs show RUN; the way there: jobsync doctor; its credentials: jobsync credentials test ID; then:
        jobsync stock-sync --dealership ID"""
    VENDOR_FAILED = """vendor_failed (unit)
        the vendor answered for this dealership, with a failure of its own or with something unreadable
        jobsync runs show RUN; its answer now: jobsync credentials test ID; then: jobsync stock-sync --dealership ID"""
    DATABASE_REFUSES = """database_refuses (unit, lasts)
        a rule of the database (constraint, trigger, right) refuses what a sync writes
        the rule: jobsync runs show RUN; mend the rule or the right; then: jobsync stock-sync --dealership ID"""
    ITEM_FAILED = """item_failed (unit)
        the work on one dealership ends with an error for which there is no cause of its own
        jobsync runs show RUN; jobsync logs RUN; then: jobsync stock-sync --dealership ID"""

    # What health finds in the tables.
    TIMER_SILENT = """timer_silent (tick)
        a job's timer has not woken it for longer than it may
        systemctl status jobsync-JOB.timer; systemctl enable --now jobsync-JOB.timer; or its host is down"""
    LOCK_HELD = """lock_held (skips)
        ticks find the lock taken for longer than a run may take
        the holder: jobsync locks; if it hangs, stop its process: its locks go with it"""
    RUN_TOO_LONG = """run_too_long (duration)
        a run takes longer than it may
        jobsync runs show RUN; to let it end its item, on HOST: kill PID"""
    RUNS_FAILING = """runs_failing (failures)
        so many scheduled runs of a job in a row failed
        jobsync runs list --failed"""
    CREDENTIALS_REFUSED = """credentials_refused (credentials, lasts)
        EasyCars refuses a dealership's credentials
        jobsync credentials set ID; whether they are taken: jobsync credentials test ID; then:
        jobsync stock-sync --dealership ID"""
    CREDENTIALS_UNREADABLE = """credentials_unreadable (credentials, lasts)
        a dealership's stored credentials cannot be read with the key that is set
        set the key that they were stored with (JOBSYNC_ENCRYPTION_KEY_PREVIOUS), or: jobsync credentials set ID; then:
        jobsync stock-sync --dealership ID"""
    NO_SUCCESS = """no_success (silence)
        a dealership has had no success for longer than it may
        jobsync dealership show ID; jobsync credentials test ID; then: jobsync stock-sync --dealership ID"""
    DECISION_WAITS = """decision_waits (held)
        a sync would change so much of a dealership's stock that a person is asked first
        jobsync holds show ID; then: jobsync holds approve ID, or: jobsync holds reject ID"""
    HOST_SILENT = """host_silent (circuit)
        a vendor's host does not answer, and work waits for it
        nothing is lost, one call a run probes; an outage of theirs ends by itself, else: jobsync doctor"""
    ASKED_TOO_OFTEN = """asked_too_often (circuit)
        the SRI says that we ask too often (code 33)
        nothing is lost: one call a run until an answer comes without it; let fewer calls leave from this address:
        jobsync settings set sri_call_delay_ms 2000; jobsync sri explain 33"""
    QUEUE_LONG = """queue_long (queue)
        more documents are due than alert_queue_length
        what limits it: jobsync status"""
    STORAGE_FULL = """storage_full (storage)
        there is no room left where RIDE files lie, or the quota is used up
        df -h ROOT; make room there, or a larger disk; each tick tries again"""
    STORAGE_READ_ONLY = """storage_read_only (storage)
        the file system of RIDE files is read-only
        findmnt -T ROOT; dmesg; mount it to be written to; each tick tries again"""
    STORAGE_UNWRITABLE = """storage_unwritable (storage)
        RIDE files cannot be written: no right to, no folder, or a broken disk
        jobsync doctor (lines storage, disk); each tick tries again"""
    STORAGE_UNMARKED = """storage_unmarked (storage)
        the storage of RIDE files has no marker, though the database knows of files: it is not mounted, or another
        mount it on each host that renders; only if it is new, or its files are lost: jobsync storage claim; then
        jobsync generate-ride --missing"""
    STORAGE_OF_ANOTHER = """storage_of_another (storage, lasts)
        the storage of RIDE files is marked as another database's
        JOBSYNC_STORAGE and JOBSYNC_DATABASE_URL do not belong together: correct the wrong one; only if the folder
        is to be this database's: jobsync storage claim"""
    STORAGE_MARKER = """storage_marker (storage, lasts)
        what stands in the place of the storage's marker is none, or cannot be read
        ls -l ROOT/.jobsync-database shows what it is, its owner and mode; anew: jobsync storage claim"""
    RIDE_REFUSED = """ride_refused (ride, lasts)
        authorized documents cannot be drawn
        why: jobsync invoice show KEY; once it is mended: jobsync generate-ride --force --access-key KEY"""
    DOCUMENTS_WAIT = """documents_wait (documents)
        documents of a tenant need a person
        jobsync invoice show KEY (it has the next step); all: jobsync invoice list --status needs_attention"""
    SETTING_UNREADABLE = """setting_unreadable (settings, lasts)
        a setting stored in the database cannot be read, and counts as off, as the last good one, or as its default
        what it may be: jobsync settings list; its default: jobsync settings set SETTING VALUE"""
    SCHEDULE_UNREADABLE = """schedule_unreadable (settings, lasts)
        a dealership's own cron or time zone cannot be read; the last good one, or the common one, is in force
        jobsync dealership schedule ID --default; jobsync dealership set ID --timezone Australia/Sydney"""
    ROWS_NOT_DELETED = """rows_not_deleted (prune)
        rows past their retention cannot be deleted; until they can, the disk fills
        which, again: jobsync runs prune; jobsync doctor"""
    ADDRESS_REFUSED = """address_refused (mail, lasts)
        the mail server refuses an address, while others have the mail
        correct JOBSYNC_ALERT_TO, or the mail server; whether they are taken: jobsync alerts test"""


# What a host meets before it can look at the tables, in order.
BEFORE_TABLES = tuple(cause for cause in Cause if cause.kind in (Kind.CONFIGURATION, Kind.DATABASE))

"""Moving in, step by step: read the original, decide, write all of it in one transaction or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from jobsync.adopt import plan, store
from jobsync.adopt.original import Original
from jobsync.adopt.plan import Leave, Left, Values
from jobsync.db import tables
from jobsync.db.audit import write_audit
from jobsync.easycars.credentials import Cipher, places_of
from jobsync.errors import ConfigurationProblem, JobsyncError

COUNTED = ("dealerships", "credentials", "vehicles", "documents", "logs", "settings")
_DEALERSHIP, _VEHICLE = tables.dealerships.c.id, tables.vehicles.c.id
_CREDENTIALS = tables.easycar_credentials.c.dealership_id
_AGAIN = "; run jobsync adopt again once it is put right there"


class IdsTaken(JobsyncError):
    """Ids of the original are here already and are somebody else's; nothing is brought."""

    def __init__(self, left: Sequence[Left]) -> None:
        few = ", ".join(f"{found.what} {found.id}" for found in left[:5])
        more = f" and {len(left) - 5:,} more" if len(left) > 5 else ""
        super().__init__(
            f"nothing was brought: {few}{more} of the original are here already and were not brought from it; give"
            " jobsync an empty schema of its own (JOBSYNC_DATABASE_SCHEMA), or delete them here"
        )
        self.left = left


@dataclass
class Adoption:
    """What an adoption did, or would do."""

    # rows written, new or changed, by kind; deleted ones among them
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    left: list[Left] = field(default_factory=list)
    untouched: list[int] = field(default_factory=list)  # dealerships synced here since: nothing of theirs changes
    warnings: list[str] = field(default_factory=list)  # what was brought otherwise than it was


def adopt(original: Original, connection: Connection, cipher: Callable[[], Cipher], *, dry_run: bool) -> Adoption:
    """
    Bring over what is new or changed in the original since the last time; the caller commits.

    Args:
        cipher: asked for where there are credentials.
        dry_run: only say what would be done.

    Raises:
        IdsTaken: an id exists here and was not brought from this original.
        ConfigurationProblem: no key is set, or it opens none of the credentials.
    """
    if not dry_run:
        store.lock_tables(connection)
    adoption = _Adoption(original, connection, dry_run=dry_run)
    adoption.prove(cipher)
    adoption.write()
    return adoption.outcome


class _Adoption:
    """Reads all but the vehicles' texts, and refuses ids that are somebody else's."""

    def __init__(self, original: Original, connection: Connection, *, dry_run: bool) -> None:
        self.outcome = Adoption()
        self._original, self._connection, self._dry_run = original, connection, dry_run
        self._memory = store.read_memory(connection, original.source)
        self._synced = store.read_synced(connection)
        self._vehicles: set[int] = set()
        switches = {row["dealership_id"]: row["auto_sync"] for row in original.read_all("switches")}
        rows = original.read_all("dealerships")
        self._there = {row["id"] for row in rows}
        self.outcome.untouched = [row["id"] for row in rows if row["id"] in self._synced]
        new = ((row["id"], row, switches.get(row["id"])) for row in rows if row["id"] not in self._synced)
        self._dealerships = self._planned("dealership", new, plan.plan_dealership)
        sealed = ((row["dealership_id"], row) for row in original.read_all("credentials"))
        ours = (row for row in sealed if row[0] in self._dealerships)
        self._credentials = self._planned("credentials", ours, plan.plan_credentials)
        self._yards = {number: values["yard_code"] for number, values in self._credentials.items()}
        of_vehicles = ("id", "dealership_id", "stock_number", "status", "data_source")
        light = (row for batch in original.read("vehicles", *of_vehicles) for row in batch)
        self._lot = plan.settle((row for row in light if row["dealership_id"] not in self._synced), self._dealerships)
        self.outcome.left += self._lot.left
        self._here = {
            "dealership": store.read_ids(connection, _DEALERSHIP, self._dealerships),
            "credentials": store.read_ids(connection, _CREDENTIALS, self._dealerships),
            "vehicle": store.read_ids(connection, _VEHICLE, self._lot.dealership_of),
        }
        taken = [
            Left(what, number, "this id is here already, and was not brought from this original")
            for what in ("dealership", "vehicle")
            for number in sorted(self._here[what])
            if not self._knows(what, number)
        ]
        if taken:
            raise IdsTaken(taken)

    def _planned(
        self, what: str, rows: Iterable[tuple[Any, ...]], rule: Callable[..., Values], again: str = _AGAIN
    ) -> dict[Any, Values]:
        """Return what is to be written, by id; each row is an id and what the rule is given."""
        planned = {}
        for key, *given in rows:
            try:
                planned[key] = rule(*given)
            except Leave as why:
                self._leave(what, key, f"{why}{again}")
        return planned

    def _leave(self, what: str, number: int | str, reason: str) -> None:
        self.outcome.left.append(Left(what, number, reason))

    def _knows(self, what: str, number: int | str) -> bool:
        return str(number) in self._memory.get(what, {})

    def _is_news(self, what: str, number: int | str, mark: bytes) -> bool:
        here = self._here.get(what)
        return self._memory.get(what, {}).get(str(number)) != mark or (here is not None and number not in here)

    def prove(self, cipher: Callable[[], Cipher]) -> None:
        """Open every ciphertext before anything is written; one that is damaged alone is left."""
        wanted = {
            number: values
            for number, values in self._credentials.items()
            if self._is_news("credentials", number, plan.fingerprint(values))
        }
        if not wanted:
            return
        key = cipher()
        unreadable = [
            number
            for number, values in wanted.items()
            if not all(key.opens(values[place.column], place) for place in places_of(number))
        ]
        if len(unreadable) == len(wanted):
            raise ConfigurationProblem(
                f"nothing was brought: the key opens none of the original's credentials ({len(wanted)} tried); set"
                " JOBSYNC_ENCRYPTION_KEY or EASYCARS_ENCRYPTION_KEY to the key that the original had in"
                " EASYCARS_ENCRYPTION_KEY"
            )
        for number in unreadable:
            del self._credentials[number]
            self._leave("credentials", number, f"the key does not open them; jobsync credentials set {number}")

    # --- what is written

    def write(self) -> None:
        written = self._write("dealership", self._dealerships, store.write_dealerships)
        self._dealerships = {number: values for number, values in self._dealerships.items() if number in written}
        self._write_credentials()
        # once a dealership was synced here, the settings are ours
        settings = () if self.outcome.untouched else self._original.read_all("settings")
        planned = self._planned("setting", ((str(row["key"]), row) for row in settings), plan.plan_setting, again="")
        self._write("setting", planned, partial(store.put, tables.system_settings.c.key))
        self._delete_gone()
        self._write_vehicles()
        self._write_documents()
        self._write_logs()
        if any(self.outcome.counts.values()) and not self._dry_run:
            store.move_sequences(self._connection)
            told = {"counts": self.outcome.counts, "left": len(self.outcome.left)}
            write_audit(self._connection, "adopt", self._original.source, told)

    def _write(self, what: str, planned: Mapping[Any, Values], write: Callable[[Connection, Any], None]) -> set[int]:
        """Write the rows that are news, count and remember them; returns the ids of all that are here now."""
        marks = {key: plan.fingerprint(values) for key, values in planned.items()}
        news = {key: mark for key, mark in marks.items() if self._is_news(what, key, mark)}
        refused = {}
        if not self._dry_run:
            refused = store.write_each(self._connection, [(key, planned[key]) for key in news], write)
        for key, why in refused.items():
            self._leave(what, key, f"{why}{_AGAIN}")
            del news[key]
        self.outcome.counts[what.removesuffix("s") + "s"] += len(news)
        if not self._dry_run:
            store.remember(self._connection, what, self._original.source, news)
        for number in news if what == "vehicle" else ():
            if number in self._lot.retired:
                self.outcome.warnings.append(
                    f"vehicle {number} of dealership {self._lot.dealership_of[number]} has the stock number"
                    f" {self._lot.retired[number][0]}, which another of its vehicles keeps; its own is retired"
                    " (jobsync stock history)"
                )
        return planned.keys() - refused.keys()

    def _write_credentials(self) -> None:
        own = [n for n in self._credentials if n in self._here["credentials"] and not self._knows("credentials", n)]
        for number in own:
            reason = "it has some here that were not brought; to bring the original's: jobsync credentials delete"
            self._leave("credentials", number, f"{reason} {number}")
        wanted = {n: values for n, values in self._credentials.items() if n not in own and n in self._dealerships}
        self._write("credentials", wanted, partial(store.put, _CREDENTIALS))
        there = {row["dealership_id"] for row in self._original.read_all("credentials", "dealership_id")}
        gone = [n for n in self._here["credentials"] if self._knows("credentials", n) and n not in there]
        self.outcome.counts["credentials"] += len(gone)
        if gone and not self._dry_run:
            store.delete_rows(_CREDENTIALS, self._connection, [(number, None) for number in gone])
            store.forget(self._connection, "credentials", self._original.source, gone)

    def _delete_gone(self) -> None:
        """Delete the vehicles that were brought and are no longer there; a dealership that is gone is only named."""
        known = {int(number) for number in self._memory.get("dealership", {})}
        there = self._there | self._synced
        for number in sorted(store.read_ids(self._connection, _DEALERSHIP, known - there)):
            self._leave("dealership", number, "it is no longer in the original; here it stays as it is")
        brought = {int(number) for number in self._memory.get("vehicle", {})}
        missing = brought - self._lot.dealership_of.keys() - {left.id for left in self._lot.left}
        gone = store.read_ids(self._connection, _VEHICLE, missing, dealerships=self._dealerships)
        refused: dict[int, str] = {}
        if gone and not self._dry_run:
            rows = [(number, None) for number in sorted(gone)]
            refused = store.write_each(self._connection, rows, partial(store.delete_rows, _VEHICLE))
            for what in ("vehicle", "document"):
                store.forget(self._connection, what, self._original.source, gone - refused.keys())
        for number, why in refused.items():
            self._leave("vehicle", number, f"it is no longer in the original, but {why}")
        self.outcome.counts["vehicles"] += len(gone) - len(refused)

    def _write_vehicles(self) -> None:
        write = partial(store.write_vehicles, retired=self._lot.retired)
        for rows in self._original.read("vehicles"):
            ours = [row for row in rows if self._lot.dealership_of.get(row["id"]) in self._dealerships]
            planned = {row["id"]: plan.plan_vehicle(row, self._lot) for row in ours}
            self._vehicles |= self._write("vehicle", planned, write)

    def _write_documents(self) -> None:
        waiting = set(self._vehicles)
        for table in ("documents", "raw"):
            for rows in self._original.read(table):
                latest = {row["vehicle_id"]: row for row in rows if row["document"] is not None}
                wanted = [(number, row) for number, row in latest.items() if number in waiting]
                waiting -= latest.keys()
                planned = self._planned("document", wanted, plan.plan_document)
                self._write("document", planned, store.write_documents)

    def _write_logs(self) -> None:
        for rows in self._original.read("logs"):
            new = [
                row for row in rows if row["dealership_id"] in self._dealerships and not self._knows("log", row["id"])
            ]
            wanted = ((row["id"], row, self._yards.get(row["dealership_id"])) for row in new)
            self._write("log", self._planned("log", wanted, plan.plan_log), store.write_logs)

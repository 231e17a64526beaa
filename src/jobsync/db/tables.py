"""The map of the schema; the migrations in migrations/ must build exactly this from nothing."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Numeric, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from jobsync.db.stock_key import STOCK_KEY_FUNCTION

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)
sa.event.listen(metadata, "before_create", sa.DDL(STOCK_KEY_FUNCTION))  # type: ignore[no-untyped-call]

_Columns = list[Column[Any]]
_BYTES, _INSTANT, _LONG = sa.LargeBinary, sa.DateTime(timezone=True), sa.BigInteger
_TEXTS = sa.ARRAY(Text)
_NO_TEXTS, _NO_LIST, _NO_OBJECT = "'{}'::text[]", "'[]'::jsonb", "'{}'::jsonb"


def _table(name: str, *items: sa.schema.SchemaItem, **options: Any) -> Table:
    """Return a table; one without a key of its own has an `id` that counts its rows."""
    keyed = any(item.primary_key for item in items if isinstance(item, Column))
    own = () if keyed else (Column("id", _LONG, sa.Identity(), primary_key=True),)
    return Table(name, metadata, *own, *items, **options)


def _optional(kind: Any, *names: str) -> _Columns:
    return [Column(name, kind) for name in names]


def _required(kind: Any, *names: str, default: str | None = None) -> _Columns:
    """Return columns that are never NULL; `default` is an expression of SQL."""
    return [Column(name, kind, nullable=False, server_default=default and sa.text(default)) for name in names]


def _keys(*names: str) -> _Columns:
    return [Column(name, Text, primary_key=True) for name in names]


def _now(*names: str) -> _Columns:
    return _required(_INSTANT, *names, default="now()")


def _numbers(*names: str, default: int = 0) -> _Columns:
    return _required(Integer, *names, default=str(default))


def _one_of(column: str, *words: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=column)


def _belongs(name: str, to: str, kind: Any = _LONG, **more: Any) -> Column[Any]:
    """Return the column of a row that goes with the one that it belongs to."""
    return Column(name, kind, sa.ForeignKey(to, ondelete="CASCADE"), **{"nullable": False, **more})


def _dealership(**more: Any) -> Column[Any]:
    return _belongs("dealership_id", "dealerships.id", **more)


def _of_sync() -> _Columns:
    """Return the columns of a row that one sync of a dealership left."""
    return [_dealership(), *_optional(Uuid, "run_id")]


def _partial(name: str | None, *columns: str, only: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=sa.text(only))


system_settings = _table(
    "system_settings",
    *_keys("key"),
    *_required(Text, "value"),
    *_required(Text, "description", default="''"),
    *_now("created_at", "updated_at"),
    # the last value that could be read, of settings that an unreadable one leaves in force
    *_optional(Text, "last_good"),
)

# --- stock sync ------------------------------------------------------------------------------------------------------

dealerships = _table(
    "dealerships",
    *_required(Text, "name"),
    *_optional(Text, "email", "timezone"),
    *_now("created_at", "updated_at"),
)

dealership_settings = _table(
    "dealership_settings",
    _dealership(unique=True),
    *_required(Boolean, "easycar_auto_sync_enabled", default="true"),
    *_optional(Text, "sync_cron", "paused_reason"),
    *_optional(_INSTANT, "paused_until"),
    *_now("created_at", "updated_at"),
    _partial("dealership_settings_enabled_idx", "dealership_id", only="easycar_auto_sync_enabled"),
)

sync_schedule = _table(
    "sync_schedule",
    _dealership(primary_key=True),
    # seen: the texts of cron and zone that next_at was computed from, readable or not
    *_optional(Text, "cron", "timezone", "seen"),
    *_now("first_seen_at"),
    *_numbers("attempt"),
    # attempted_at: when the last attempt began, the second key of "fewest attempts first"; slot_started_at: when the
    # slot's first attempt did; computed_at: when next_at was computed
    *_optional(_INSTANT, "slot_at", "next_at", "retry_at", "last_success_at"),
    *_optional(_INSTANT, "attempted_at", "slot_started_at", "computed_at"),
    # words of StockStatus that this dealership's feed has had
    *_required(_TEXTS, "status_words", default=_NO_TEXTS),
    # the meaning of such words that its rows follow: easycar_status_map as its last sync had it
    *_required(JSONB, "status_map", default=_NO_OBJECT),
)

easycar_credentials = _table(
    "easycar_credentials",
    _dealership(unique=True),
    *_required(Text, "client_id_encrypted", "client_secret_encrypted"),
    *_required(Text, "account_number_encrypted", "account_secret_encrypted", "environment"),
    *_optional(Text, "yard_code"),
    *_required(Boolean, "is_active", default="true"),
    *_numbers("key_version", default=1),
    *_now("created_at", "updated_at"),
    _one_of("environment", "Test", "Production"),
)

vehicles = _table(
    "vehicles",
    _dealership(),
    # the number is NULL only for a manual row that has none
    *_optional(Text, "stock_number", "vin", "make", "model", "badge", "series", "body", "colour", "interior_colour"),
    *_optional(Text, "odometer_unit", "condition", "stock_type", "stock_status", "title", "description"),
    *_optional(Text, "short_description", "registration", "registration_state", "fuel_type", "transmission"),
    *_optional(Text, "drive_train", "engine_capacity", "yard_code", "video_link"),
    *_optional(Integer, "year", "odometer", "doors", "seats"),
    *_optional(Numeric, "price", "special_price"),
    *_optional(Boolean, "is_drive_away"),
    *_required(Text, "status", default="'active'"),
    *_required(JSONB, "features", "images", default=_NO_LIST),
    *_required(Text, "data_source", default="'manual'"),
    *_required(_TEXTS, "locked_fields", default=_NO_TEXTS),
    *_optional(_BYTES, "content_hash"),
    *_now("first_seen_at", "created_at", "updated_at"),
    *_optional(_INSTANT, "missing_since", "removed_at"),
    # the stock number as it is compared
    Column("stock_key", Text, sa.Computed("jobsync_stock_key(stock_number)", persisted=True)),
    # of a row whose status is excluded; NULL there (an UPDATE by SQL) means a person
    *_optional(Text, "excluded_by"),
    _one_of("odometer_unit", "km", "mi"),
    _one_of("condition", "new", "used", "demo"),
    _one_of("status", "active", "deposit", "sold", "removed", "excluded"),
    _one_of("excluded_by", "person", "map"),
    _one_of("data_source", "easycars", "manual", "import"),
    CheckConstraint("data_source <> 'easycars' OR stock_number IS NOT NULL", name="easycars_stock_number"),
    _partial(
        "vehicles_dealership_id_stock_key_easycars_key",
        "dealership_id",
        "stock_key",
        unique=True,
        only="data_source = 'easycars'",
    ),
    # the few rows of people that a sync must step round
    _partial("vehicles_others_idx", "dealership_id", only="data_source <> 'easycars'"),
    # is a vehicle here under another number, or a feed another dealership's? An index holds no text of any length.
    _partial("vehicles_vin_idx", "vin", only="data_source = 'easycars' AND length(vin) <= 64"),
)

easycar_stock_data = _table(
    "easycar_stock_data",
    _belongs("vehicle_id", "vehicles.id", unique=True),
    *_required(JSONB, "stock_item_json"),
    *_required(Text, "api_version", default="'1.01'"),
    *_now("synced_at", "created_at", "updated_at"),
    # items of a few kilobytes stay in their row as they are: compressing each costs more than writing it
    postgresql_with={"toast_tuple_target": 8160},
)

vehicle_changes = _table(
    "vehicle_changes",
    _belongs("vehicle_id", "vehicles.id"),
    *_optional(Uuid, "run_id"),
    *_now("changed_at"),
    *_required(Text, "field"),
    *_optional(Text, "old", "new"),
    Index(None, "vehicle_id", "changed_at"),
    # what changed when: the table grows in the order of time, so a few pages say where to look
    Index(None, "changed_at", postgresql_using="brin"),
)

easycar_sync_logs = _table(
    "easycar_sync_logs",
    *_of_sync(),
    *_required(Text, "sync_type", default="'stock'"),
    *_required(Text, "api_version", default="'1.01'"),
    *_required(Text, "status"),
    *_optional(_INSTANT, "started_at"),
    *_now("synced_at"),
    *_required(_LONG, "duration_ms", default="0"),
    *_numbers("items_processed", "items_succeeded", "items_failed"),
    *_numbers("created", "updated", "unchanged", "revived", "refused", "skipped", "removed", "held"),
    # removals_blocked: why nothing could be removed this time; NULL when removals were possible
    *_optional(Text, "yard_code", "removals_blocked"),
    *_required(JSONB, "error_messages", "warnings", default=_NO_LIST),
    # vehicles before this sync; NULL where it never came to count them
    *_optional(Integer, "listed", "advertised"),
    _one_of("status", "Success", "PartialSuccess", "Held", "Failed"),
    Index(None, "dealership_id", "sync_type", "synced_at"),
    Index(None, "run_id"),
)

holds = _table(
    "holds",
    *_of_sync(),
    *_required(Text, "kind", default="'removals'"),
    *_required(Text, "status", default="'pending'"),
    *_required(Text, "reason"),
    # what is held; of a foreign feed, what it names
    *_required(_TEXTS, "stock_numbers"),
    # of a foreign feed: the VINs in the order of stock_numbers, empty where an item has none
    *_required(_TEXTS, "vins", default=_NO_TEXTS),
    *_numbers("listed_before", "listed_now"),
    *_now("created_at"),
    *_optional(Text, "decided_by"),
    # an approval is spent by the sync that carries it out
    *_optional(_INSTANT, "decided_at", "applied_at"),
    _one_of("status", "pending", "approved", "rejected", "superseded"),
    _one_of("kind", "removals", "sold", "prices", "pictures", "descriptions", "foreign_feed"),
    _partial("holds_one_pending_key", "dealership_id", "kind", unique=True, only="status = 'pending'"),
    Index(None, "dealership_id", "created_at"),
)

refused_items = _table(
    "refused_items",
    *_of_sync(),
    # place in the feed, counted from 1
    *_numbers("position"),
    *_required(Text, "reason_code", "reason"),
    *_optional(Text, "stock_number", "raw"),
    *_now("created_at"),
    Index(None, "dealership_id", "created_at"),
)

# --- authorization checks and RIDE -----------------------------------------------------------------------------------

tenants = _table(
    "tenants",
    Column("ruc", Text, nullable=False, unique=True),
    *_required(Text, "name"),
    *_required(Text, "environment", default="'production'"),
    *_optional(Text, "logo_path"),
    *_required(Boolean, "is_active", default="true"),
    *_optional(_INSTANT, "paused_until"),
    *_now("created_at", "updated_at"),
    CheckConstraint("ruc ~ '^[0-9]{13}$'", name="ruc"),
    _one_of("environment", "test", "production"),
)

invoices = _table(
    "invoices",
    Column("tenant_id", _LONG, sa.ForeignKey("tenants.id"), nullable=False),
    Column("access_key", Text, nullable=False, unique=True),
    *_required(Text, "status", default="'pending_authorization'"),
    *_optional(Text, "document_type", "series_number", "customer_name", "customer_id"),
    *_optional(Text, "confirmed_by", "status_reason", "sri_authorization", "ride_path", "ride_sha256", "ride_error"),
    *_optional(sa.Date, "issue_date"),
    *_optional(Numeric, "total"),
    *(Column(name, _INSTANT, server_default=sa.text("now()")) for name in ("next_check_at", "ride_next_at")),
    *_numbers("check_count", "empty_count", "ride_attempts"),
    *_optional(_INSTANT, "submitted_at", "empty_since", "attention_since", "refused_at", "refused_submission"),
    *_optional(_INSTANT, "authorized_at", "ride_generated_at", "deleted_at"),
    *_now("created_at", "updated_at"),
    CheckConstraint("access_key ~ '^[0-9]{49}$'", name="access_key"),
    _one_of("status", "pending_authorization", "authorized", "rejected", "needs_attention", "cancelled"),
    _one_of("confirmed_by", "sri", "file"),
    _partial(
        "invoices_check_due_idx",
        "next_check_at",
        only="status IN ('pending_authorization', 'needs_attention') AND next_check_at IS NOT NULL"
        " AND deleted_at IS NULL",
    ),
    _partial(
        "invoices_ride_due_idx",
        "ride_next_at",
        only="status = 'authorized' AND ride_generated_at IS NULL AND ride_next_at IS NOT NULL AND deleted_at IS NULL",
    ),
    Index(None, "tenant_id", "status"),
)

invoice_documents = _table(
    "invoice_documents",
    _belongs("invoice_id", "invoices.id", primary_key=True),
    *_optional(_BYTES, "submitted_xml", "authorized_answer", "authorized_xml"),
    *_now("created_at", "updated_at"),
)

sri_events = _table(
    "sri_events",
    Column("tenant_id", _LONG, sa.ForeignKey("tenants.id")),
    _belongs("invoice_id", "invoices.id", nullable=True),
    *_optional(Uuid, "run_id"),
    *_now("at"),
    *_required(Text, "kind"),
    *_optional(Text, "code", "message", "additional_info", "severity", "class", "raw"),
    *_optional(sa.SmallInteger, "http_status"),
    *_optional(_LONG, "duration_ms"),
    Index(None, "invoice_id", "at"),
    Index(None, "at"),
)

vendor_hosts = _table(
    "vendor_hosts",
    *_keys("host"),
    *_numbers("faults_in_a_row"),
    # not_before: from its Retry-After, no call goes there before
    *_optional(_INSTANT, "opened_at", "last_probe_at", "last_start_at", "not_before"),
    # why the circuit is open: faults, too_often; NULL while it is closed
    *_optional(Text, "open_cause"),
    # of EasyCars, that lead there; empty for the SRI's
    *_required(_TEXTS, "environments", default="'{}'"),
)

# --- runs ------------------------------------------------------------------------------------------------------------

run_locks = _table(
    "run_locks",
    *_keys("name"),
    *_required(_LONG, "fence", default="0"),
    *_optional(Uuid, "run_id"),
    *_optional(Text, "holder"),
    *_optional(_INSTANT, "acquired_at"),
)

jobs = _table(
    "jobs",
    *_keys("name"),
    *_optional(Text, "last_status", "skipped_by"),
    *_numbers("consecutive_failures", "consecutive_skips"),
    *_optional(_INSTANT, "last_tick_at", "last_started_at", "last_finished_at", "last_success_at"),
    # while the job is switched off: when a tick whose work was due last said so, and from when on one says it again
    *_optional(_INSTANT, "disabled_said_at", "disabled_quiet_until"),
)

job_runs = _table(
    "job_runs",
    Column("id", Uuid, primary_key=True),
    *_required(Text, "job", "trigger", "host", "version"),
    *_required(Integer, "pid"),
    *_required(Text, "status", default="'running'"),
    *_optional(sa.SmallInteger, "exit_code"),
    *_now("started_at"),
    *_optional(_INSTANT, "finished_at"),
    *_required(JSONB, "counts", default=_NO_OBJECT),
    *_optional(Text, "invocation_id", "error", "traceback"),
    _one_of("trigger", "timer", "manual", "cron"),
    CheckConstraint(
        "status IN ('running', 'succeeded', 'partial', 'held', 'failed', 'cancelled', 'timed_out', 'lock_lost',"
        " 'crashed')",
        name="status",
    ),
    Index(None, "job", "started_at"),
    _partial("job_runs_running_idx", "job", only="status = 'running'"),
)

job_items = _table(
    "job_items",
    _belongs("run_id", "job_runs.id", Uuid),
    *_required(Text, "item_key"),
    *_required(Text, "status", default="'running'"),
    *_numbers("attempt", default=1),
    *_now("started_at"),
    *_optional(_LONG, "duration_ms"),
    *_required(JSONB, "counts", default=_NO_OBJECT),
    # reason: a short stable code of why it failed
    *_optional(Text, "label", "error", "reason"),
    sa.UniqueConstraint("run_id", "item_key"),
)

audit = _table(
    "audit",
    *_now("at"),
    *_required(Text, "actor", "host", "action"),
    *_optional(Text, "subject"),
    *_required(JSONB, "details", default=_NO_OBJECT),
    Index(None, "at"),
)

alerts = _table(
    "alerts",
    *_required(Text, "subject", "kind"),
    *_now("opened_at"),
    # notified_at: when anybody was last told that it is open
    *_optional(_INSTANT, "notified_at", "closed_at", "silenced_until"),
    # told: by channel, when it was first told
    *_required(JSONB, "details", "told", default=_NO_OBJECT),
    *_required(Text, "cause", "text", "what_to_do", default="''"),
    _partial("alerts_one_open_key", "kind", "subject", "cause", unique=True, only="closed_at IS NULL"),
)

# What people asked to be spared, in the order in which they did; the latest that fits an alert decides. NULL fits any.
alert_silences = _table(
    "alert_silences",
    *_optional(Text, "kind", "subject"),
    *_optional(JSONB, "causes"),  # [[kind, subject, cause], ...]
    *_required(_INSTANT, "until"),
    *_now("set_at"),
)

# What `jobsync adopt` brought: from which database, the id that it has there (of a setting its key, of credentials
# their dealership's, of a document its vehicle's), and a hash of what was written.
adopted = _table(
    "adopted",
    *_keys("source", "what", "source_id"),
    *_required(_BYTES, "fingerprint"),
    *_now("adopted_at"),
)

# Which database this is: one row, made once. The marker in the storage of RIDE files names it.
database_identity = _table(
    "database_identity",
    Column("one", Boolean, CheckConstraint("one", name="one"), primary_key=True, server_default=sa.text("true")),
    *_required(Uuid, "id", default="gen_random_uuid()"),
)

# What Prometheus counts, for ever: runs that ended, by the upper bound of their length in seconds, and their items.
run_totals = _table(
    "run_totals",
    *_keys("job", "status"),
    Column("le", sa.Double, primary_key=True),
    *_required(_LONG, "runs", default="0"),
    *_required(sa.Double, "seconds", default="0"),
)
item_totals = _table("item_totals", *_keys("job", "result"), *_required(_LONG, "items", default="0"))

# --- what is due -----------------------------------------------------------------------------------------------------

# One view for each job answers it for the tick, the job, the screens and the alerts alike: what the job needs of a row,
# `due_since`, and `too_far_ahead`. An instant further ahead than the longest wait that the job can set was written by a
# clock that was wrong, and is due; NULL is never. Both jobs wait 6 hours at most; a tenth more is for jitter.
_LONGEST_WAIT = "interval '6 hours 36 minutes'"


def _due(columns: str, instant: str, condition: str) -> str:
    return f"""
        SELECT i.id, i.tenant_id, t.ruc AS tenant_ruc, i.access_key, i.status, {columns},
               CASE WHEN i.{instant} <= now() AND isfinite(i.{instant}) THEN i.{instant} ELSE now() END AS due_since,
               i.{instant} > now() AS too_far_ahead
        FROM invoices i JOIN tenants t ON t.id = i.tenant_id
        WHERE {condition} AND i.deleted_at IS NULL
          AND (i.{instant} <= now() OR i.{instant} > now() + {_LONGEST_WAIT})
          AND t.is_active AND (t.paused_until IS NULL OR t.paused_until <= now())
    """


# Who takes part in stock sync, what each wants, and what its schedule says. `clock_ahead`: something lies in the future
# that was only ever written as "now", or a slot further ahead than its rule allows; the slot is computed anew.
# `attempted_ahead`: what was brought in then is older than it says; it is brought in once more.
_DEALERSHIP_SCHEDULES = """
        SELECT d.id AS dealership_id, d.name, c.environment,
               CASE WHEN c.dealership_id IS NULL OR NOT c.is_active THEN 'no_credentials'
                    WHEN NOT coalesce(s.easycar_auto_sync_enabled, true) THEN 'auto_sync_off'
                    WHEN s.paused_until > now() THEN 'paused' END AS why_not,
               w.cron AS wanted_cron, w.timezone AS wanted_timezone, common.cron AS common_cron,
               common.timezone AS common_timezone, h.cron, h.timezone, h.seen,
               h.next_at IS NULL OR h.seen IS DISTINCT FROM w.cron || ' @ ' || w.timezone AS changed,
               coalesce(greatest(h.slot_at, h.slot_started_at, h.attempted_at, h.last_success_at, h.computed_at)
                        > now() OR h.next_at > now() + CASE
                            WHEN h.cron ~ '^[^ ]+ [^ ]+ [*] [*] [*]$' THEN interval '26 hours'
                            WHEN h.cron ~ '^[^ ]+ [^ ]+ [*] [*] [^ #Ll]+$' THEN interval '8 days'
                            ELSE interval '9 years' END, false) AS clock_ahead,
               coalesce(greatest(h.slot_at, h.slot_started_at, h.attempted_at, h.last_success_at)
                        > now() + interval '1 day', false) AS attempted_ahead,
               coalesce(h.attempt, 0) AS attempt, h.attempted_at, h.slot_started_at, h.next_at, h.retry_at
        FROM dealerships d
        CROSS JOIN (SELECT coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'), '0 2 * * *')
                               AS cron,
                           coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_timezone'), 'UTC')
                               AS timezone) common
        LEFT JOIN easycar_credentials c ON c.dealership_id = d.id
        LEFT JOIN dealership_settings s ON s.dealership_id = d.id
        LEFT JOIN sync_schedule h ON h.dealership_id = d.id
        CROSS JOIN LATERAL (SELECT coalesce(nullif(btrim(s.sync_cron), ''), common.cron) AS cron,
                                   coalesce(nullif(btrim(d.timezone), ''), common.timezone) AS timezone) w
    """

# Whom a scheduled run takes now, and why. `changed` and `clock ahead`: the program computes the slot first, by a rule
# that SQL does not know, and asks again. A host that wants to rest is asked nothing; it never wants more than an hour.
_DUE_DEALERSHIPS = """
        SELECT e.dealership_id, e.name, e.environment, e.attempt, e.attempted_at, w.why,
               CASE WHEN w.why = 'slot' THEN e.next_at
                    WHEN w.why = 'retry' AND e.retry_at <= now() THEN e.retry_at ELSE now() END AS due_since,
               e.clock_ahead OR coalesce(e.retry_at > now() + interval '1 day', false) AS too_far_ahead
        FROM dealership_schedules e
        CROSS JOIN LATERAL (SELECT CASE
            WHEN e.clock_ahead THEN 'clock ahead'
            WHEN e.changed THEN 'changed'
            WHEN e.next_at <= now() THEN 'slot'
            WHEN e.retry_at <= now() OR e.retry_at > now() + interval '1 day' THEN 'retry' END AS why) w
        WHERE e.why_not IS NULL AND w.why IS NOT NULL
          AND NOT EXISTS (SELECT FROM vendor_hosts v WHERE e.environment = ANY (v.environments)
                          AND v.not_before > now() AND v.not_before <= now() + interval '1 hour')
    """

VIEWS = {
    "dealership_schedules": _DEALERSHIP_SCHEDULES,
    "due_dealerships": _DUE_DEALERSHIPS,
    "due_documents": _due(
        "t.environment AS tenant_environment, i.check_count, i.submitted_at, coalesce(i.submitted_at, i.created_at) AS"
        " waiting_since, i.attention_since, i.empty_since, i.empty_count, i.refused_at, i.refused_submission",
        "next_check_at",
        "i.status IN ('pending_authorization', 'needs_attention')",
    ),
    "due_rides": _due(
        "t.logo_path, i.ride_attempts", "ride_next_at", "i.status = 'authorized' AND i.ride_generated_at IS NULL"
    ),
}
for _name, _query in VIEWS.items():
    sa.event.listen(metadata, "after_create", sa.DDL(f"CREATE VIEW {_name} AS {_query}"))  # type: ignore[no-untyped-call]

"""jobsync man: the manual page, rendered from the commands themselves."""

import typer

from jobsync import __version__
from jobsync.cli.command import command
from jobsync.cli.output import write
from jobsync.cli.tree import Command, Option, read_tree
from jobsync.errors import ExitCode

EXIT_STATUS = tuple((str(int(code)), code.meaning) for code in ExitCode)
ENVIRONMENT = (
    ("JOBSYNC_DATABASE_URL", "postgresql://…; unset, embedded: or embedded:/path is the private server"),
    ("JOBSYNC_LOCK_DATABASE_URL", "a direct connection for locks when the other leads through a pooler"),
    ("JOBSYNC_DATABASE_SCHEMA", "the schema of jobsync's tables; default public, and db upgrade creates it"),
    ("JOBSYNC_ENCRYPTION_KEY", "base64 of 32 bytes, for stored credentials"),
    ("JOBSYNC_ENCRYPTION_KEY_PREVIOUS", "the old key, until credentials rotate-key has run"),
    ("JOBSYNC_EASYCARS_URL", "replaces both built-in addresses; RequestToken is appended"),
    ("JOBSYNC_SRI_URL", "replaces both hosts of the SRI: scheme://host[:port]"),
    ("JOBSYNC_PROXY", "proxy for both vendors, alerts and ping; replaces HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"),
    ("NO_PROXY", "hosts asked without a proxy, commas between; exempts from JOBSYNC_PROXY too"),
    ("JOBSYNC_STORAGE", "root folder of the RIDE files"),
    ("JOBSYNC_REPORT_FILE, JOBSYNC_METRICS_FILE", "where a timer each writes them every five minutes"),
    (
        "JOBSYNC_LOG_LEVEL",
        (
            "debug, info, warning, error or critical; unset: info, and warning for a job typed at a terminal;"
            " -q (warning) and -v (debug) win over it"
        ),
    ),
    ("JOBSYNC_LOG_FORMAT", "auto (journal, terminal or JSON lines), json or console"),
    ("JOBSYNC_SMTP_URL, JOBSYNC_ALERT_TO, JOBSYNC_ALERT_WEBHOOK", "where alerts go"),
    ("JOBSYNC_ALERT_URLS", "more services that alerts go to, as Apprise URLs, blanks or commas between"),
    ("JOBSYNC_PING_URL", "told after each run, for a dead-man switch"),
    ("JOBSYNC_CONFIG", "another configuration file"),
    ("CREDENTIALS_DIRECTORY", "folder of secrets, one file each, named like the variable in lower case"),
)
FILES = (
    ("/etc/jobsync/config.toml", "the same settings; keys are the lower-case names without jobsync_"),
    ("/etc/jobsync/credentials/", "secrets, loaded by the units and read by commands typed by hand"),
    ("/etc/systemd/system/jobsync-*", "what jobsync units install has written"),
    ("/etc/cron.d/jobsync", "the lines of jobsync cron show, on hosts without systemd"),
    ("/var/lib/jobsync/", "state of the service's user"),
)
EXAMPLES = (
    ("What ran lately, and how did it end?", "jobsync runs list"),
    ("One dealership now, also if it is paused", "jobsync stock-sync --dealership 17"),
    ("What would change tonight?", "jobsync stock-sync --dry-run"),
    ("Ask the SRI about one document now", "jobsync check-authorizations --access-key KEY"),
    ("What did a run say?", "jobsync logs 3f2a"),
    ("All about one dealership this week", "journalctl JOBSYNC_DEALERSHIP_ID=17 -S -7d"),
    ("Install the timers", "jobsync units install --enable"),
)


@command("man | man -l -")
def man(context: typer.Context) -> None:
    """Print the manual page: jobsync man | man -l -."""
    write(render_man(read_tree(context.find_root().command)))


def render_man(tree: Command) -> str:
    """Return jobsync(1) as man(7) takes it."""
    lines = [
        f'.TH JOBSYNC 1 "" "jobsync {__version__}" "User Commands"',
        ".SH NAME",
        f"jobsync \\- {_escaped(tree.help[0].lower() + tree.help[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B jobsync",
        r"[\fB\-V\fR] [\fB\-h\fR] [\fB\-q\fR|\fB\-v\fR] \fICOMMAND\fR [\fIARGUMENT\fR ...]",
        ".SH DESCRIPTION",
        "systemd wakes each job, Postgres says what is due, one process does one run and exits.",
        "Every reading command takes",
        r".B \-\-json",
        "for exactly one JSON document on standard output.",
        *_options(tree),
        ".SH COMMANDS",
    ]
    for each in tree.walk():
        lines += [] if each.commands else _command(each)
    for title, rows in (("EXIT STATUS", EXIT_STATUS), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        lines.append(f".SH {title}")
        if title == "ENVIRONMENT":
            lines += ["The environment wins over the folder of secrets, and that over the configuration file."]
        for name, text in rows:
            lines += [".TP", f".B {_escaped(name)}", _escaped(text)]
    lines.append(".SH EXAMPLES")
    for what, how in EXAMPLES:
        lines += [".TP", _escaped(what), f".B {_escaped(how)}"]
    lines += [".SH SEE ALSO", ".BR systemctl (1),", ".BR journalctl (1),", ".BR systemd.timer (5)"]
    return "\n".join(lines) + "\n"


def _command(command: Command) -> list[str]:
    usage = [rf"\fB{_escaped(' '.join(command.path))}\fR"]
    for argument in command.arguments:
        name = rf"\fI{_escaped(argument.names[0])}\fR" + (" ..." if argument.repeats else "")
        usage.append(name if argument.required else f"[{name}]")
    lines = [".SS", " ".join(usage), _escaped(command.help)]
    lines += _options(command)
    for example in command.examples:
        lines += [".PP", "Example:", f".B {_escaped(example)}"]
    return lines


def _options(command: Command) -> list[str]:
    told = [option for option in (*command.arguments, *command.options) if option.help]
    return [line for option in told for line in (".TP", _names(option), _escaped(option.help))]


def _names(option: Option) -> str:
    font = "B" if option.names[0].startswith("-") else "I"
    names = ", ".join(rf"\f{font}{_escaped(name)}\fR" for name in option.names)
    return names + (rf" \fI{_escaped(option.value)}\fR" if option.value else "")


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped

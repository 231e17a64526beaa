"""The entry: a scheduled tick with nothing due ends here; all else goes to the command line."""

import sys


def main() -> None:
    """Run the command line of this process."""
    if "--scheduled" in sys.argv:
        from jobsync.tick import nothing_is_due

        if nothing_is_due(sys.argv[1:]):
            import os

            os._exit(0)  # nothing was printed, nothing is open: the interpreter need not tidy up
    from jobsync.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""What a page tells people to type: its fenced blocks, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_FENCED = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: `sh` or `sql`."""

    language: str
    text: str


def read_page(name: str) -> dict[str, list[Block]]:
    """Return a page's blocks by the heading that they stand under."""
    sections = re.split(r"^## (.+)$", (DOCS / name).read_text(), flags=re.MULTILINE)
    pairs = [("", sections[0]), *zip(sections[1::2], sections[2::2], strict=True)]
    return {title: [Block(*found) for found in _FENCED.findall(text)] for title, text in pairs}


class Shell:
    """
    Runs blocks: `sh` line by line with `jobsync` on the path, `sql` by psql.

    Args:
        environ: of the commands.
        folder: where the command `jobsync` is put, and where the commands run.
        url: of the database that SQL goes to.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path, url: str) -> None:
        self._url, self._folder = url, folder
        program = folder / "jobsync"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobsync "$@"\n')
        program.chmod(0o755)
        self.environ = {**environ, "PATH": f"{folder}:{environ['PATH']}"}
        self.said = ""
        self.ran = 0

    def __call__(self, block: Block) -> list[int]:
        """Run one block; returns the exit code of each command, of SQL psql's. What was said is in `said`."""
        self.ran += 1
        if block.language == "sql":
            psql = shutil.which("psql")
            assert psql is not None
            return [self._run([psql, "-X", "-v", "ON_ERROR_STOP=1", self._url], block.text)]
        assert block.language == "sh"
        joined = block.text.replace("\\\n", " ")
        lines = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        return [self._run(["bash", "-c", line], None) for line in lines]

    def _run(self, arguments: list[str], text: str | None) -> int:
        done = subprocess.run(
            arguments,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            env=self.environ,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.said = done.stdout + done.stderr
        return done.returncode

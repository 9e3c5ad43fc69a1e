"""A virtual board in a process of its own, for tests of applications."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

HOSTS = count(1)  # a loopback address each: pynq's port is fixed


@contextmanager
def board(folder: Path, *options: str) -> Iterator[tuple[str, Path, int]]:
    """Address, overlay and process number of a board that `headrace board` runs."""
    host = f"127.{os.getpid() // 250 % 250}.{os.getpid() % 250}.{next(HOSTS)}"
    command = [
        sys.executable,
        "-c",
        "from headrace.cli import main; main()",
        "board",
        "--virtual",
        "--host",
        host,
        "-o",
        str(folder),
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            first = process.stdout.readline()
            assert host in first, process.stderr.read()
            yield host, next(folder.glob("*.bit")), process.pid
        finally:
            process.terminate()

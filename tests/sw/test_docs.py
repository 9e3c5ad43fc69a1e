"""Generated documentation is what its source says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

"""Where there are no kernels, one line says so and NumPy serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace import native

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import numpy as np
from headrace import native
from headrace.errors import NativeError
from headrace.spanning import spanning_tree
assert not native.available()
assert spanning_tree(np.ones((3, 2), np.int16)).tolist() == [-1, 0, 0]
try:
    from headrace.native.stream import StreamKernel
    StreamKernel((), (), (), (), 1)
except NativeError as error:
    print(error)
"""


def test_turned_off() -> None:
    environment = {**os.environ, "HEADRACE_NATIVE": "0"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "the native kernels are turned off by HEADRACE_NATIVE=0\n"


@pytest.mark.skipif(not native.available(), reason="no native kernels to break")
@pytest.mark.parametrize(("content", "message"), [(None, "were not built"), (b"no library", "do not load")])
def test_missing_or_damaged(tmp_path: Path, content: bytes | None, message: str) -> None:
    package = tmp_path / "headrace"
    shutil.copytree(Path(native.__file__).parents[1], package, ignore=shutil.ignore_patterns("__pycache__"))
    for library in (package / "native").glob(f"{native.NAME}*"):
        library.unlink()
        if content is not None:
            library.write_bytes(content)
    # An editable install finds the package before the path does, unless it is told not to.
    script = f"import sys; sys.meta_path[:] = [f for f in sys.meta_path if '__editable__' not in repr(f)]\n{SCRIPT}"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert message in run.stdout and run.stdout.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_fuzz() -> None:
    run = subprocess.run([ROOT / "scripts" / "fuzz_native", "20000"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "no finding" in run.stdout

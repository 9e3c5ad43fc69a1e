"""Libraries that several benches share; the cache keeps them between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_sim.build import build
from sim.standin import verilog


@pytest.fixture(scope="session")
def library() -> Path:
    """The module of `standin`."""
    return build(verilog())

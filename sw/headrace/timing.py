"""Seconds of several calls, measured against each other on a machine that others use, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

SLOW_ROUNDS = 3
SECONDS = 0.005
"""Of each contestant in a round: its calls are repeated until then."""
SLOW = 0.1
"""Seconds: a call that takes longer is slow, and made in fewer rounds."""
Call = Callable[[], Any]


def medians(contestants: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Median seconds of one call of each, the rounds interleaved; the first call of each does not count."""
    repeats, wanted = {}, {}
    for name, call in contestants.items():
        call()
        started = time.perf_counter()
        call()
        once = max(time.perf_counter() - started, 1e-7)
        repeats[name], wanted[name] = max(1, int(SECONDS / once)), min(rounds, SLOW_ROUNDS) if once > SLOW else rounds
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, call in contestants.items():
            if number < wanted[name]:
                started = time.perf_counter()
                for _ in range(repeats[name]):
                    call()
                times[name].append((time.perf_counter() - started) / repeats[name])
    return {name: median(found) for name, found in times.items()}

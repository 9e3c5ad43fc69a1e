"""The cycle model's constants that are delays of single blocks."""

from __future__ import annotations

from headrace.cycles import costs
from headrace_hw.activations import ActivationMemory
from headrace_hw.fetcher import FIRST_BEATS
from headrace_hw.mac import Mac


def test_constants_are_the_blocks_own() -> None:
    assert Mac.delay == costs.SUM_DELAY
    assert ActivationMemory.delay + 3 == costs.STORE_START
    assert costs.FIRST_BEATS == FIRST_BEATS

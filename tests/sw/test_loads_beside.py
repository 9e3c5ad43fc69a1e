"""What LOADs beside a layer and its results cost each other in the cycle model."""

from __future__ import annotations

import pytest

from headrace.config import CONFIGS
from headrace.cycles import Memory
from headrace.cycles.costs import LOAD_END, NEXT_DESCRIPTOR
from headrace.cycles.emission import Taken, _WriteBack
from headrace.cycles.front import After, Block, Blocks
from headrace.cycles.memory import Port


@pytest.mark.parametrize(
    ("taken", "start", "cycles", "end", "late"),
    [
        ([], 10, 5, 15, 0),
        ([Taken(20, 30, 10)], 10, 10, 20, 0),  # before it comes
        ([Taken(20, 30, 10)], 30, 5, 35, 0),  # behind it
        ([Taken(20, 30, 10)], 10, 15, 30, 5),  # five of ten cycles for each
        ([Taken(20, 30, 10)], 25, 10, 40, 5),  # the last five beats take ten cycles, then results have all
        ([Taken(20, 40, 10)], 20, 10, 40, 0),  # a beat every other cycle leaves one
        ([Taken(20, 60, 10)], 20, 6, 28, 0),  # every fourth
        ([Taken(20, 30, 10), Taken(40, 50, 10)], 20, 15, 45, 10),  # the next one is late, too
    ],
)
def test_they_take_turns(taken: list[Taken], start: int, cycles: int, end: int, late: float) -> None:
    back = _WriteBack(taken)
    assert back.write(start, cycles) == end
    assert back.late == pytest.approx(late)


def test_results_in_parts() -> None:
    """Word by word they take what they take at once, but for rounding."""
    taken = [Taken(10, 50, 40), Taken(80, 100, 20)]
    at_once, back = _WriteBack(taken), _WriteBack(taken)
    end = 0
    for _ in range(70):
        end = back.write(end, 1)
    assert end == pytest.approx(at_once.write(0, 70), abs=2) and back.late == pytest.approx(at_once.late, abs=2)


@pytest.mark.parametrize("late", [0, 50, 400])
def test_what_comes_behind_a_late_load_is_late(late: int) -> None:
    """The next descriptor is taken when the LOAD has ended, and its tables come behind."""
    memory, descriptor = Memory(1.0, 40), Block(8)
    blocks = [descriptor, Block(100), Block(8, After.LOAD), Block(50)]
    ends = []
    for cycles in (0, late):
        port = Port(memory, CONFIGS["demo"])
        ahead = Blocks(0, blocks)
        loaded = ahead.reach(1, port)
        ahead.delay(cycles)
        ends.append(ahead.finish(port)[-1])
        assert ends[-1] >= loaded + cycles + LOAD_END + NEXT_DESCRIPTOR + 8 + memory.latency + 50
    assert ends[1] - ends[0] == late

"""Blocks of LOADs: as few descriptors as equal sizes and distances allow, every byte once."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.transfers import MAX_BLOCKS, Block, Run, _runs


def blocks_of(run: Run) -> list[Block]:
    return [(run.address + n * run.stride, run.x_address + n * run.x_stride, run.size) for n in range(run.count)]


@pytest.mark.parametrize(
    ("blocks", "counts"),
    [
        ([], []),
        ([(8, 0, 16)], [1]),
        ([(0, 0, 16), (100 * 8, 32, 16), (200 * 8, 64, 16)], [3]),
        ([(0, 0, 16), (32, 32, 16), (64, 64, 24)], [2, 1]),  # another size
        ([(0, 0, 16), (32, 32, 16), (72, 64, 16)], [2, 1]),  # another distance in DRAM
        ([(0, 0, 16), (32, 32, 16), (64, 72, 16)], [2, 1]),  # on the chip
        ([(64, 0, 16), (32, 32, 16)], [1, 1]),  # backwards
        ([(0, 0, 16), (32, 1 << 16, 16)], [1, 1]),  # farther than a field says
        ([(16 * n, 16 * n, 16) for n in range(MAX_BLOCKS + 2)], [MAX_BLOCKS, 2]),
    ],
    ids=len,
)
def test_equal_blocks_are_one_run(blocks: list[Block], counts: list[int]) -> None:
    runs = _runs(blocks)
    assert [run.count for run in runs] == counts
    assert [block for run in runs for block in blocks_of(run)] == blocks


def test_random_blocks() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        steps = 8 * rng.integers(1, 3, (int(rng.integers(1, 12)), 3))
        blocks = [(int(a), int(x), int(size)) for (a, x), size in zip(steps[:, :2].cumsum(0), steps[:, 2], strict=True)]
        assert [block for run in _runs(blocks) for block in blocks_of(run)] == blocks


@pytest.mark.parametrize(("beats", "count"), [(1, 1), (2, 2), (9, 3), (25, 5), (7 * 11, 7), (11 * 13, 1)])
def test_one_block_is_cut_for_two_ports(beats: int, count: int) -> None:
    run = Run(40, 16, 8 * beats)
    assert run.spread(1) == run
    cut = run.spread(2)
    assert cut.count == count
    for place in (0, 1):
        places = [block[place] + n for block in blocks_of(cut) for n in range(block[2])]
        assert places == list(range(places[0], places[0] + 8 * beats)) and places[0] == (40, 16)[place]

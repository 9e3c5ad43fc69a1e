"""Formal proofs of the blocks that pass streams and bursts on; see `proof` for running them."""

from __future__ import annotations

from .arbiter import ArbiterHarness
from .buffer import BufferHarness
from .drain import DrainHarness
from .fetcher import FetcherHarness
from .fifo import BufferedFIFOHarness, FIFOHarness
from .harness import Harness
from .loader import LoaderHarness, PairLoaderHarness
from .reader import ReaderHarness
from .reads import ReadsHarness
from .splitter import SplitterHarness
from .storer import StorerHarness
from .writer import WriterHarness

HARNESSES: dict[str, type[Harness]] = {
    harness.name: harness
    for harness in (
        BufferHarness,
        FIFOHarness,
        BufferedFIFOHarness,
        FetcherHarness,
        ArbiterHarness,
        SplitterHarness,
        ReaderHarness,
        WriterHarness,
        LoaderHarness,
        PairLoaderHarness,
        StorerHarness,
        ReadsHarness,
        DrainHarness,
    )
}
"""By name of the block."""

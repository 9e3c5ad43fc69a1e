"""From a quantised network to the image that a device runs: layouts, streams, tables, program."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import numpy as np

from .averages import lower_by_words
from .coding import Coding, Effort, Strips, choose_coding
from .config import Config
from .errors import CompileError
from .graph import Graph, Op, build_graph
from .image import Image
from .isa import SLOTS, table_beats
from .layers import Lowered, Range, ceil_div, check_layer, check_sums, lower, output_range, strips
from .layout import place
from .link import Cut, Part, link
from .network import GlobalAveragePool, Network
from .placement import Placement

Progress = Callable[[int, int, str], None]


def compile_network(
    network: Network, config: Config, progress: Progress | None = None, effort: Effort = Effort.DEFAULT
) -> Image:
    """The image of `network` for devices of `config`; equal arguments give equal bytes.

    `progress(done, total, name)` is called before each operation: a layer that computes something, or a copy.
    CompileError names the layer, what it needs and what the configuration has.
    """
    graph = build_graph(network)
    state = _Stored(graph, place(graph, config))
    parts: list[Part] = []
    for index, op in enumerate(graph.ops):
        if progress is not None:
            progress(index, len(graph.ops), op.layer.name)
        sources = [state.placement(source) for source in op.sources]
        values = [state.values(source) for source in op.sources]
        before = parts[-1].coding.run if parts else 0
        parts.append(compile_op(op, sources, state.placement(op.target), values, config, effort, before))
        state.write(op.target, parts[-1].encoded.order, output_range(op.layer, values))
    return link(network, config, parts, state.placement(0, False), state.placement(graph.output))


class _Stored:
    """What is known of the tensors in memory while the program is compiled: order of channels, range of values."""

    def __init__(self, graph: Graph, places: list[Placement]) -> None:
        self._graph, self._places = graph, places
        roots = {tensor.root: graph.tensors[tensor.root].shape[0] for tensor in graph.tensors}
        self._order = {root: np.arange(channels) for root, channels in roots.items()}
        self._low = {root: np.full(channels, -128) for root, channels in roots.items()}
        self._high = {root: np.full(channels, 127) for root, channels in roots.items()}

    def _slice(self, tensor: int) -> tuple[int, slice]:
        one = self._graph.tensors[tensor]
        return one.root, slice(one.first, one.first + one.shape[0])

    def placement(self, tensor: int, ordered: bool = True) -> Placement:
        root, channels = self._slice(tensor)
        place = self._places[tensor]
        return place.ordered(self._order[root][channels] - channels.start) if ordered else place

    def values(self, tensor: int) -> Range:
        root, channels = self._slice(tensor)
        return int(self._low[root][channels].min()), int(self._high[root][channels].max())

    def write(self, tensor: int, order: np.ndarray, values: Range) -> None:
        root, channels = self._slice(tensor)
        self._order[root][channels] = order + channels.start
        self._low[root][channels], self._high[root][channels] = values


def compile_op(
    op: Op,
    sources: list[Placement],
    y: Placement,
    values: list[Range],
    config: Config,
    effort: Effort = Effort.DEFAULT,
    before: int = 0,
) -> Part:
    """One layer whose inputs lie at `sources`, with `values`; its output goes to `y`, in an order of its own.

    The descriptor before its first one takes about `before` cycles.
    """
    layer, x = op.layer, sources[0]
    lowered = lower_by_words(layer, x, config) if isinstance(layer, GlobalAveragePool) else None
    if lowered is None:
        lowered = lower(layer, x, config.pixels, (y.height, y.width), sources[1] if len(sources) > 1 else None)
    check_layer(layer.name, lowered, config)
    cuts = cut(op, x, y, lowered, config)
    longest = max(one.words for one in cuts)
    taps, masks = len(lowered.taps), len(lowered.mask_table)
    beats = table_beats(config.lanes, 0, taps, masks, 0, len(lowered.matrix), lowered.uniform)
    slots = 0 if lowered.maximum else min(SLOTS, config.acc_words >> (longest - 1).bit_length())
    gathers = config.gathers and lowered.gathers and y.plane == y.strips == 1
    work = Strips(tuple(one.words for one in cuts), beats, x.strips, config.read_ports, gathers, before)
    reach = min(low for low, _ in values), max(high for _, high in values)
    try:
        coding = choose_coding(lowered.matrix, config, work, slots, effort)
        _check(layer.name, lowered, reach, coding, config)
    except CompileError:
        # Sums on the way from row to row can be larger than those of any row from zero.
        coding = choose_coding(lowered.matrix, config, work, 0, effort)
        _check(layer.name, lowered, reach, coding, config)
    return Part(op, x, y.ordered(coding.encoded.order), lowered, coding, cuts, config)


def cut(op: Op, x: Placement, y: Placement, lowered: Lowered, config: Config) -> list[Cut]:
    """What fits the accumulators at a time.

    Where all lanes compute all rows and keep all, any rows, or of a single row without masks any columns; else whole
    words of whole rows, which `layout.check_rows` has found to be possible.
    """
    pitch = lowered.pitch
    if x.strips == y.strips == 1:
        cuts = strips(y, pitch, config.pixels, config.acc_words)
        if cuts is None and y.height == 1 and not lowered.mask_table:
            return _columns(y, config)
        if cuts is None:
            raise CompileError(
                f"{op.layer.name}: {2 if y.split else 1} output rows of {pitch} pixels do not fit {config.acc_words} "
                f"words of {config.pixels} accumulators of config {config.name}"
            )
        return [Cut(words, y.width, first_row=first, rows=rows) for first, rows, words in cuts]
    total = ceil_div(x.strip_step or y.height * pitch, config.pixels)
    unit = pitch // gcd(pitch, config.pixels)
    count = ceil_div(total, config.acc_words // unit * unit)
    most = ceil_div(ceil_div(total, count), unit) * unit
    return [Cut(min(most, total - first), y.width, y.height, first_word=first) for first in range(0, total, most)]


def _columns(y: Placement, config: Config) -> list[Cut]:
    """Even cuts of one row, of whole words and an even number of columns."""
    unit = 2 * config.pixels
    count = ceil_div(y.width, config.acc_words * config.pixels)
    most = ceil_div(ceil_div(y.width, count), unit) * unit
    parts = [(first, min(most, y.width - first)) for first in range(0, y.width, most)]
    return [Cut(ceil_div(columns, config.pixels), columns, 1, first_column=first) for first, columns in parts]


def _check(name: str, lowered: Lowered, values: Range, coding: Coding, config: Config) -> None:
    parents = {row.row: row.parent for lane in coding.plan for row in lane}
    check_sums(name, lowered, values, parents, config)

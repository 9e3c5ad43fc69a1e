"""From a quantised network to the image that a device runs: layouts, streams, tables, program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import gcd

import numpy as np

from .averages import lower_by_words
from .band_costs import Costs
from .batch import batched
from .coding import Coding, Effort, Strips, choose_coding
from .compiled import Band, Cut, Part
from .config import Config
from .errors import CompileError
from .fit import Fitted, fit
from .graph import Graph, Op, build_graph
from .image import Image
from .isa import DESCRIPTOR, SLOTS, table_beats
from .layers import Lowered, Range, ceil_div, check_layer, check_sums, gather_counts, lower, output_range, strips
from .layout import place
from .link import link
from .network import GlobalAveragePool, Network
from .placement import Placement
from .slices import sliced
from .upright import is_signal, upright

Progress = Callable[[int, int, str], None]
Room = Callable[[Network, Config], tuple[Graph, Fitted]]
"""Makes room for a network: its graph, and what runs in place of that."""
SLICES = (1, 2, 4, 8)
"""What part of the activation memory slices of channels may take: the largest first, which may fit without any."""


def compile_network(
    network: Network,
    config: Config,
    progress: Progress | None = None,
    effort: Effort = Effort.DEFAULT,
    batch: int = 1,
) -> Image:
    """The image of `network` for devices of `config`; equal arguments give equal bytes.

    `progress(done, total, name)` is called before each operation: a layer that computes something, or a copy.
    `batch` > 1: so many inputs a run, which takes a network that `batched` takes. CompileError names the layer, what it
    needs and what the configuration has. ValueError for a batch below 1.
    """
    if batch < 1:
        raise ValueError(f"a batch of {batch} inputs")
    if batch == 1:
        return _compile(network, config, progress, effort)
    twin = batched(network, batch)
    try:
        image = _encode(twin, config, progress, effort, _at_once)
    except CompileError as error:
        most = largest_batch(network, config, batch)
        reason = f"; of a batch of {batch} inputs, {most} fit" if most < batch else ""
        raise CompileError(f"{error}{reason}") from None
    return replace(image, batch=batch, input_shape=network.input_shape, output_shape=network.output_shape)


def largest_batch(network: Network, config: Config, limit: int) -> int:
    """How many inputs a run, `limit` at most, the activation memories have room for; 0: not even one.

    CompileError as `batched`.
    """
    fit, full = 0, min(limit, config.x_bytes) + 1  # an input takes a byte or more
    while full - fit > 1:
        middle = (fit + full) // 2
        graph = build_graph(batched(network, middle))
        try:
            place(graph, config)
            fit = middle
        except CompileError:
            full = middle
    return fit


def _compile(network: Network, config: Config, progress: Progress | None, effort: Effort) -> Image:
    """Signals that do not fit in rows are tried upright, and both in slices only then."""
    if not is_signal(network):
        return _encode(network, config, progress, effort, _in_slices)
    lacking: CompileError | None = None
    for room, turned in product((_in_bands, _in_slices), (network, upright(network))):
        try:
            image = _encode(turned, config, progress, effort, room)
        except CompileError as error:
            lacking = lacking or error
            continue
        return replace(image, input_shape=network.input_shape, output_shape=network.output_shape)
    assert lacking is not None
    raise lacking


def _encode(network: Network, config: Config, progress: Progress | None, effort: Effort, room: Room) -> Image:
    layers, (graph, places) = room(network, config)
    state = _Stored(graph, places)
    parts: list[Part] = []
    for index, layer in enumerate(layers.ops):
        if progress is not None:
            progress(index, len(layers.ops), layer.layer.name)
        ops = [op for op in graph.ops if op.number == index]
        sources = [[state.placement(source) for source in op.sources] for op in ops]
        values = [state.values(source) for source in ops[0].sources]
        targets = [(state.placement(op.target), graph.tensors[op.target].row) for op in ops]
        before = parts[-1].coding.run if parts else 0
        part = compile_layer(ops, sources, targets, values, config, effort, before)
        parts.append(part)
        for op in ops:
            state.write(op.target, part.encoded.order, output_range(op.layer, values))
    return link(network, config, layers, graph, state.placements(), parts)


def _at_once(network: Network, config: Config) -> tuple[Graph, Fitted]:
    """The graph of `network`, which is what runs, with its tensors in place."""
    layers = build_graph(network)
    return layers, (layers, place(layers, config))


def _in_bands(network: Network, config: Config) -> tuple[Graph, Fitted]:
    """The graph of `network`, and what fits of it: all at once, or in bands of rows."""
    layers = build_graph(network)
    return layers, fit(layers, config)


def _in_slices(network: Network, config: Config) -> tuple[Graph, Fitted]:
    """The same, in slices of channels where it cannot fit whole: of a few sizes, the one of fewest estimated cycles.
    CompileError as `fit` for the network in none, or the largest that it needs."""
    lacking: CompileError | None = None
    best: tuple[float, Graph, Fitted] | None = None
    tried = set[int]()
    for part in SLICES:
        own = sliced(network, config, config.x_bytes // part)
        if len(own.layers) in tried:
            continue
        tried.add(len(own.layers))
        layers = build_graph(own)
        try:
            if len(layers.ops) > DESCRIPTOR.most("layer") + 1 and own is not network:
                raise CompileError(f"{network.name}: {len(layers.ops)} layers are more than a program can have")
            fitted = fit(layers, config)
        except CompileError as error:
            text = str(error) if own is network else f"{error}, in slices of channels"
            lacking = lacking or CompileError(text)
            continue
        if lacking is None:
            return layers, fitted
        cycles = Costs(layers, config).placed(*fitted)
        if best is None or cycles < best[0]:
            best = cycles, layers, fitted
    if best is None:
        assert lacking is not None
        raise lacking
    return best[1:]


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

    def placement(self, tensor: int) -> Placement:
        root, channels = self._slice(tensor)
        return self._places[tensor].ordered(self._order[root][channels] - channels.start)

    def placements(self) -> list[Placement]:
        """Of all tensors."""
        return [self.placement(tensor) for tensor in range(len(self._places))]

    def values(self, tensor: int) -> Range:
        root, channels = self._slice(tensor)
        return int(self._low[root][channels].min()), int(self._high[root][channels].max())

    def write(self, tensor: int, order: np.ndarray, values: Range) -> None:
        root, channels = self._slice(tensor)
        self._order[root][channels] = order + channels.start
        self._low[root][channels], self._high[root][channels] = values


def compile_layer(
    ops: Sequence[Op],
    sources: Sequence[Sequence[Placement]],
    targets: Sequence[tuple[Placement, int]],
    values: list[Range],
    config: Config,
    effort: Effort = Effort.DEFAULT,
    before: int = 0,
) -> Part:
    """One layer in `ops`: one, or one for each band. Their inputs lie at `sources`, with `values`; the outputs go to
    `targets`, from a row of theirs on, in an order of their own. All share the streams.

    The descriptor before the first one takes about `before` cycles.
    """
    layer, bands = ops[0].layer, list[Band]()
    for op, (x, *skip), (y, row) in zip(ops, sources, targets, strict=True):
        size = y.height, y.width
        lowered = lower_by_words(layer, x, config) if isinstance(layer, GlobalAveragePool) else None
        if lowered is None:
            lowered = lower(layer, x, config.pixels, size, skip[0] if skip else None, len(ops) > 1, op.top, op.skip_row)
        check_layer(layer.name, lowered, config)
        if bands:
            lowered = replace(lowered, matrix=bands[0].lowered.matrix)
        bands.append(Band(op, x, y, lowered, cut(op, x, y, lowered, config), row))
    lowered, words = bands[0].lowered, tuple(one.words for band in bands for one in band.cuts)
    beats = table_beats(
        config.lanes, 0, len(lowered.taps), len(lowered.mask_table), 0, len(lowered.matrix), lowered.uniform
    )
    slots = 0 if lowered.maximum else min(SLOTS, config.acc_words >> (max(words) - 1).bit_length())
    can_gather = lowered.can_gather and all(y.plane == y.strips == 1 for y, _ in targets)
    counts = tuple(n for n in gather_counts(config, len(lowered.matrix)) if can_gather and n <= lowered.pitch)
    work = Strips(words, beats, bands[0].x.strips, config.read_ports, counts, before)
    reach = min(low for low, _ in values), max(high for _, high in values)
    try:
        coding = choose_coding(lowered.matrix, config, work, slots, effort)
        _check(layer.name, lowered, reach, coding, config)
    except CompileError:
        # Sums on the way from row to row can be larger than those of any row from zero.
        coding = choose_coding(lowered.matrix, config, work, 0, effort)
        _check(layer.name, lowered, reach, coding, config)
    return Part(tuple(bands), coding, config)


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

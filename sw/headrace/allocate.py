"""Addresses for tensors that live at different times: the same bytes for those that never meet."""

from __future__ import annotations

from collections.abc import Mapping

from .config import Config
from .graph import Graph
from .isa import BEAT_BYTES
from .layers import ceil_div
from .slices import layer_name


class Full(Exception):  # noqa: N818 - more strips may help; else it becomes a CompileError
    """The activation memory is too small for `roots`, which are needed at once.

    `ops`: numbers of the operations that need too much, those that need most first: `short` bytes more than there are.
    """

    def __init__(self, message: str, roots: list[int], ops: list[int], short: int) -> None:
        super().__init__(message)
        self.roots, self.ops, self.short = roots, ops, short


def allocate(graph: Graph, sizes: Mapping[int, int], config: Config, ahead: int = 0) -> dict[int, int]:
    """First byte of every root tensor: the large ones first, each as low as those that live with it allow. For `ahead`
    see `Graph.lifetimes`."""
    lifetimes = graph.lifetimes(ahead)
    align = max(BEAT_BYTES, config.pixels)
    room = {root: ceil_div(size, align) * align for root, size in sizes.items()}
    crowded: list[int] = []
    for order in ([(-size, root) for root, size in room.items()], [(lifetimes[r][0], r) for r in room]):
        bases, missing = _stack([root for _, root in sorted(order)], room, lifetimes, config.x_bytes)
        if not missing:
            return bases
        crowded = crowded or missing
    raise Full(*_crowd(graph, room, lifetimes, config, crowded))


def _stack(
    order: list[int], room: Mapping[int, int], lifetimes: Mapping[int, tuple[int, int]], size: int
) -> tuple[dict[int, int], list[int]]:
    """Bases in that order, and the roots that crowd out each other: none where all have room."""
    bases: dict[int, int] = {}
    for root in order:
        first, last = lifetimes[root]
        beside = [r for r in bases if lifetimes[r][0] <= last and first <= lifetimes[r][1]]
        base = 0
        for other in sorted(beside, key=lambda r: bases[r]):
            if bases[other] - base >= room[root]:
                break
            base = max(base, bases[other] + room[other])
        if base + room[root] > size:
            return bases, [root, *beside]
        bases[root] = base
    return bases, []


def _crowd(
    graph: Graph,
    room: Mapping[int, int],
    lifetimes: Mapping[int, tuple[int, int]],
    config: Config,
    crowded: list[int],
) -> tuple[str, list[int], list[int], int]:
    """What to say of tensors that do not fit, which they are, in which operations, and how many bytes are short."""
    alive = [[r for r in sorted(room) if lifetimes[r][0] <= n <= lifetimes[r][1]] for n in range(len(graph.ops))]
    needs = [sum(room[r] for r in roots) for roots in alive]
    ops = sorted(range(len(alive)), key=lambda n: (-needs[n], n))
    worst = ops[0]
    need, name = needs[worst], graph.ops[worst].layer.name
    short, sizes = need - config.x_bytes, {root: room[root] for root in alive[worst]}
    text = (
        f"{name}: tensors need {needed(graph, sizes)} bytes of activation memory, config {config.name} has "
        f"{config.x_bytes}"
    )
    if need <= config.x_bytes:
        return f"{text}; no order of addresses fits", crowded, ops, 0
    return f"{text}: {short} are short", alive[worst], [n for n in ops if needs[n] > config.x_bytes], short


def needed(graph: Graph, sizes: Mapping[int, int]) -> str:
    """A sum of bytes, with the names of the roots that need them."""
    names = dict.fromkeys((graph.tensors[load.tensor].root for load in graph.loads), "input")
    for op in graph.ops:
        root = graph.tensors[op.target].root
        names[root] = op.layer.name if root == op.target else layer_name(op.layer.name)
    return f"{' + '.join(f'{size} ({names[root]})' for root, size in sizes.items())} = {sum(sizes.values())}"

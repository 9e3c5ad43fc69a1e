"""LOAD: beats from the read ports into the activation memory."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace.config import Config
from headrace.isa import BEAT_BYTES

from .shapes import address_bits, masked_write_layout


def settings(config: Config) -> dict[str, wiring.Member]:
    """What a LOAD says, taken at `start`: where its first block goes, how far to the next ones, how many there are on
    all ports, and beats of each. `clear`: no more beats come."""
    return {
        "start": In(1),
        "clear": In(1),
        "x_address": In(address_bits(config)),
        "x_stride": In(address_bits(config)),
        "blocks": In(16),
        "beats": In(range(config.x_bytes // BEAT_BYTES + 1)),
    }


class Loader(wiring.Component):
    """Writes what read port `port` gets of a LOAD to the activation memory: every read_ports-th block, from that of the
    port's number on.

    `expects`: not all beats have come. `busy`: that, or bytes wait. `wants`: bytes wait; in a cycle of `go` some leave
    through `o`: min(8, P), of words of 16 pixels and more two beats of a block if the first had to wait.
    """

    def __init__(self, config: Config, port: int = 0) -> None:
        self._config, self._port = config, port
        super().__init__(
            {
                **settings(config),
                "i": In(stream.Signature(64)),
                "go": In(1),
                "o": Out(stream.Signature(masked_write_layout(config), always_ready=True)),
                "wants": Out(1),
                "expects": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        ports, chunk = self._config.read_ports, min(2 * BEAT_BYTES, self._config.pixels)
        pairs = chunk > BEAT_BYTES
        blocks, left = Signal(16), Signal.like(self.beats)  # to come, this one included; beats to come of it
        place, block = Signal.like(self.x_address), Signal.like(self.x_address)  # of the next beat, of its block
        first = left == self.beats
        m.d.comb += self.expects.eq(blocks != 0)

        held, count = Signal(16 * BEAT_BYTES if pairs else 8 * BEAT_BYTES), Signal(range(2 * BEAT_BYTES + 1))
        address = Signal.like(self.x_address)
        leaves, empties, taken = self.o.valid, Signal(), Signal()
        m.d.comb += [
            self.wants.eq(count != 0),
            leaves.eq(self.wants & self.go),
            empties.eq((count == 0) | (leaves & (count <= chunk))),
            self.i.ready.eq(self.expects & (empties | ((count == BEAT_BYTES) & ~first if pairs else 0))),
            taken.eq(self.i.valid & self.i.ready),
            self.o.payload.load.eq(1),
            self.o.payload.address.eq(address),
            self.o.payload.data.as_value().eq(held[: 8 * chunk]),
            # In one statement: what a condition overrides in part, Yosys 0.70 writes as Verilog that lacks the rest.
            self.o.payload.mask.eq(Mux(count < chunk, (1 << BEAT_BYTES) - 1, (1 << chunk) - 1)),
            self.busy.eq(self.expects | self.wants),
        ]
        with m.If(leaves):
            m.d.sync += [count.eq(Mux(empties, 0, count - chunk)), address.eq(address + chunk)]
            if not pairs:
                m.d.sync += held.eq(held >> (8 * chunk))
        with m.If(taken & empties):
            m.d.sync += [held[:64].eq(self.i.payload), count.eq(BEAT_BYTES), address.eq(place)]
        if pairs:
            with m.If(taken & ~empties):
                m.d.sync += [held[64:].eq(self.i.payload), count.eq(2 * BEAT_BYTES)]

        with m.If(taken):
            m.d.sync += [left.eq(left - 1), place.eq(place + BEAT_BYTES)]
            with m.If(left == 1):
                following = block + (self.x_stride << (ports - 1))
                m.d.sync += [left.eq(self.beats), blocks.eq(blocks - 1), place.eq(following), block.eq(following)]
        with m.If(self.start):
            begin = self.x_address + (self.x_stride if self._port else 0)
            m.d.sync += [
                blocks.eq((self.blocks + (ports - 1 - self._port)) >> (ports - 1)),
                left.eq(self.beats),
                place.eq(begin),
                block.eq(begin),
            ]
        with m.If(self.clear):
            m.d.sync += blocks.eq(0)
        return m


class Loaders(wiring.Component):
    """A Loader for each read port. They take turns at `o`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                **settings(config),
                "i": In(stream.Signature(64)).array(config.read_ports),
                "go": In(1),
                "o": Out(stream.Signature(masked_write_layout(config), always_ready=True)),
                "wants": Out(1),
                "expects": Out(config.read_ports),
                "busy": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        loaders = [Loader(self._config, port) for port in range(self._config.read_ports)]
        for port, loader in enumerate(loaders):
            m.submodules[f"loader_{port}"] = loader
            connect(m, flipped(self.i[port]), loader.i)
            m.d.comb += self.expects[port].eq(loader.expects)
            for name in settings(self._config):
                m.d.comb += getattr(loader, name).eq(getattr(self, name))
        first, last = loaders[0], loaders[-1]
        m.d.comb += [self.busy.eq(first.busy | last.busy), self.wants.eq(first.wants | last.wants)]
        if first is last:
            m.d.comb += first.go.eq(self.go)
            connect(m, first.o, flipped(self.o))
            return m
        turn, goes_last = Signal(), Signal()  # it is the last one's turn; the last one goes
        m.d.comb += [
            goes_last.eq(last.wants & (turn | ~first.wants)),
            first.go.eq(self.go & ~goes_last),
            last.go.eq(self.go & goes_last),
            self.o.valid.eq(first.o.valid | last.o.valid),
            self.o.payload.eq(Mux(goes_last, last.o.payload.as_value(), first.o.payload.as_value())),
        ]
        with m.If(self.o.valid):
            m.d.sync += turn.eq(~goes_last)
        return m

"""The first error of a program."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config
from headrace.isa import NOBODY, ErrorCode

from .csr import ERROR
from .reads import Beat
from .shapes import ERROR_CODE_BITS


class Faults(wiring.Component):
    """Chooses, of the faults of a cycle, the one that explains most, and says what it concerns.

    `wrong`: there is one, while `working`. `fail` (a pulse): a cycle later, with `error`, which then holds. Errors of
    lanes take one cycle more; of several lanes the lowest counts.

    A fault concerns the running layer (`back_...`), unless the back is idle or the fault is the front's own: its
    `front_fault`, or a bad answer to the read of a block or of a stream of the other half than `bank`. Then it concerns
    the descriptor that the front is at (`front_...`).
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "working": In(1),
                # What may go wrong
                "front_fault": In(ErrorCode),
                "back_wrong": In(1),
                "late": In(1),
                "abort": In(1),
                "lane_error": In(config.lanes),
                "lane_error_code": In(ERROR_CODE_BITS).array(config.lanes),
                "write_error": In(1),
                "beat": In(data.ArrayLayout(Beat, config.read_ports)),
                # What it may concern
                "front_layer": In(8),
                "front_number": In(8),
                "back_idle": In(1),
                "back_layer": In(8),
                "back_number": In(8),
                "bank": In(1),
                "wrong": Out(1),
                "fail": Out(1),
                "error": Out(ERROR),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        fault, lane = Signal(ErrorCode), Signal(8)
        of_front = Signal()  # the fault concerns the front's descriptor even while a layer runs
        lane_wrong, lane_code = Signal(), Signal(ERROR_CODE_BITS)  # a cycle late: lanes are many
        wrong_lane = Signal(range(self._config.lanes))
        m.d.sync += lane_wrong.eq(self.lane_error.any())
        for n in reversed(range(self._config.lanes)):
            with m.If(self.lane_error[n]):
                m.d.sync += [lane_code.eq(self.lane_error_code[n]), wrong_lane.eq(n)]

        # What comes last explains most.
        m.d.comb += [fault.eq(self.front_fault), lane.eq(NOBODY), of_front.eq(self.front_fault != ErrorCode.NONE)]
        with m.If(self.back_wrong):
            m.d.comb += [fault.eq(ErrorCode.SIGNATURE), of_front.eq(0)]
        with m.If(self.late):
            m.d.comb += [fault.eq(ErrorCode.WATCHDOG), of_front.eq(0)]
        with m.If(self.abort):
            m.d.comb += [fault.eq(ErrorCode.ABORTED), of_front.eq(0)]
        with m.If(lane_wrong):
            m.d.comb += [fault.eq(lane_code), lane.eq(wrong_lane), of_front.eq(0)]
        with m.If(self.write_error):
            m.d.comb += [fault.eq(ErrorCode.AXI_WRITE), lane.eq(NOBODY)]
        for beat in self.beat:
            with m.If(beat.valid & beat.error):
                m.d.comb += [
                    fault.eq(ErrorCode.AXI_READ),
                    lane.eq(Mux(beat.of_block, NOBODY, beat.lane)),
                    of_front.eq(beat.of_block | (beat.layer != self.bank)),
                ]

        concerns_front = self.back_idle | of_front
        m.d.comb += self.wrong.eq(self.working & (fault != ErrorCode.NONE) & ~self.fail)
        m.d.sync += self.fail.eq(self.wrong)
        with m.If(self.wrong):
            m.d.sync += [
                self.error.code.eq(fault),
                self.error.lane.eq(lane),
                self.error.layer.eq(Mux(concerns_front, self.front_layer, self.back_layer)),
                self.error.descriptor.eq(Mux(concerns_front, self.front_number, self.back_number)),
            ]
        return m

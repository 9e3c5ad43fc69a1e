"""AXI4 and AXI4-Lite signatures, seen from the master (`In(...)` makes a slave).

AXI4: 64-bit data, 32-bit byte addresses, no IDs: every transaction has the same ID, so answers come in order.
Source: ARM IHI 0022, "AMBA AXI and ACE Protocol Specification".
"""

from __future__ import annotations

from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

SIZE_8_BYTES = 3
BURST_INCR = 1
CACHE_NORMAL_BUFFERABLE = 0b0011
"""Normal, non-cacheable, bufferable: what the high-performance ports of a Zynq expect."""
PAGE_BYTES = 4096
"""No burst may cross a multiple of this."""


def is_error(response: Value) -> Value:
    """1 where RRESP or BRESP is SLVERR or DECERR."""
    return response[1]


class AXI4ReadSignature(wiring.Signature):
    """Read channels AR and R of one AXI4 master."""

    def __init__(self) -> None:
        super().__init__(
            {
                "araddr": Out(32),
                "arlen": Out(8),
                "arsize": Out(3, init=SIZE_8_BYTES),
                "arburst": Out(2, init=BURST_INCR),
                "arcache": Out(4, init=CACHE_NORMAL_BUFFERABLE),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(64),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class AXI4WriteSignature(wiring.Signature):
    """Write channels AW, W and B of one AXI4 master."""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(32),
                "awlen": Out(8),
                "awsize": Out(3, init=SIZE_8_BYTES),
                "awburst": Out(2, init=BURST_INCR),
                "awcache": Out(4, init=CACHE_NORMAL_BUFFERABLE),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(64),
                "wstrb": Out(8, init=0xFF),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )


class AXILiteSignature(wiring.Signature):
    """AXI4-Lite master with 32-bit data and byte addresses of `addr_width` bits."""

    def __init__(self, addr_width: int) -> None:
        super().__init__(
            {
                "awaddr": Out(addr_width),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(addr_width),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )

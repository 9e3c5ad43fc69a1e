"""Two products in one multiplier."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from headrace import isa

PRODUCT_BITS = 8 + isa.VALUE_BITS
Product = data.StructLayout({"value": signed(PRODUCT_BITS), "carry": 1})
"""The product is value + carry: the carry goes into the adder that follows."""


class SharedMultiplier(wiring.Component):
    """`weight` times each of one or two pixels; a pixel whose mask bit is 0 counts as `outside` (0 or -128).

    With the lower pixel b made positive, (a << 17) + b + 128 fits the 25 bits of a DSP48E1's factor whatever a and b
    are. Times w that is (a * w << 17) + b * w + 128 * w; the adder behind the multiplier takes the last term off
    again (`offset` is -128 * w). What the 17 bits of b * w borrow from the upper product is their sign, given back as
    that product's carry.

    Latency: `delay` cycles from pixels and weight; the offset follows three cycles later. Cycles pass only while
    `advance` is high. At reset the weight is `resting`, 0 or -1: a register of its own for multipliers of either kind,
    where synthesis would make one of equal ones.

    Source: Fu et al., "Deep Learning with INT8 Optimization on Xilinx Devices", Xilinx WP486, 2016.
    """

    delay = 4

    def __init__(self, pixels: int, resting: int = 0) -> None:
        self._resting = resting
        super().__init__(
            {
                "advance": In(1),
                "pixels": In(data.ArrayLayout(signed(8), pixels)),
                "mask": In(pixels),
                "outside": In(signed(8)),
                "weight": In(signed(isa.VALUE_BITS)),
                "offset": In(signed(isa.VALUE_BITS + 8)),
                "products": Out(data.ArrayLayout(Product, pixels)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        count = len(self.mask)
        counted = [Mux(self.mask[n], self.pixels[n], self.outside)[:8] for n in range(count)]
        # Two registers before the multiplier, so that one can lie beside it.
        given, factor = (Signal(signed(8 + (count - 1) * PRODUCT_BITS), name=name) for name in ("given", "factor"))
        product, exact = Signal(signed(PRODUCT_BITS * count)), Signal(signed(PRODUCT_BITS * count))
        if count == 2:
            positive = Cat(counted[1][:7], ~counted[1][7])
            packed = Cat(positive, Const(0, PRODUCT_BITS - 8), counted[0]).as_signed()
        else:
            packed = counted[0].as_signed()
        given_weight, weight = (
            Signal(signed(isa.VALUE_BITS), name=name, init=self._resting) for name in ("given_weight", "weight")
        )
        with m.If(self.advance):
            m.d.sync += [
                given.eq(packed),
                given_weight.eq(self.weight),
                factor.eq(given),
                weight.eq(given_weight),
                product.eq(factor * weight),
                exact.eq(product + (self.offset if count == 2 else 0)),
            ]
        words = [exact[PRODUCT_BITS * n : PRODUCT_BITS * (n + 1)] for n in range(count)]
        m.d.comb += self.products[0].value.eq(words[-1])
        if count == 2:
            m.d.comb += [
                self.products[0].carry.eq(exact[PRODUCT_BITS - 1]),
                self.products[1].value.eq(words[0]),
            ]
        return m

"""Two products in one multiplier."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from headrace import isa

PRODUCT_BITS = 8 + isa.VALUE_BITS
Product = data.StructLayout({"value": signed(PRODUCT_BITS), "carry": 1})
"""The product is value + carry: the carry goes into the adder that follows."""


class SharedMultiplier(wiring.Component):
    """`weight` times each of one or two pixels; a pixel whose mask bit is 0 counts as `outside` (0 or -128).

    (a << 17) + b times w is (a * w << 17) + b * w, and b * w has 17 bits: what it borrows from the upper product is its
    sign, given back as that product's carry. One DSP48E1 (25 x 18). Latency: `delay` cycles from the pixels, which
    the weight follows one cycle later; the cycles pass only while `advance` is high.

    Source: Fu et al., "Deep Learning with INT8 Optimization on Xilinx Devices", Xilinx WP486, 2016.
    """

    delay = 2

    def __init__(self, pixels: int) -> None:
        super().__init__(
            {
                "advance": In(1),
                "pixels": In(data.ArrayLayout(signed(8), pixels)),
                "mask": In(pixels),
                "outside": In(signed(8)),
                "weight": In(signed(isa.VALUE_BITS)),
                "products": Out(data.ArrayLayout(Product, pixels)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        count = len(self.mask)
        counted = [Mux(self.mask[n], self.pixels[n], self.outside).as_signed() for n in range(count)]
        low = Signal(signed(8))
        factor = Signal(signed(8 + (count - 1) * PRODUCT_BITS))
        product = Signal(signed(PRODUCT_BITS * count))
        if count == 2:
            # The upper pixel less one where the lower is negative: the sum of both, without an adder of 25 bits.
            m.d.comb += low.eq(counted[1])
            packed = Cat(low, low[-1].replicate(PRODUCT_BITS - 8), counted[0] - low[-1]).as_signed()
        else:
            packed = counted[0]
        with m.If(self.advance):
            m.d.sync += [factor.eq(packed), product.eq(factor * self.weight)]
        words = [product[PRODUCT_BITS * n : PRODUCT_BITS * (n + 1)] for n in range(count)]
        m.d.comb += self.products[0].value.eq(words[-1])
        if count == 2:
            m.d.comb += [
                self.products[0].carry.eq(product[PRODUCT_BITS - 1]),
                self.products[1].value.eq(words[0]),
            ]
        return m

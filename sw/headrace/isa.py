"""What host and device agree on: descriptors, tables, symbol entries, error codes. The RTL takes its layouts from here.

All memory is little-endian 64-bit beats. A *program* is an array of 64-byte descriptors that ends with `END`.
Addresses in descriptors and tables are byte offsets: of program data (tables, streams) from the PROGRAM register, of
activations in DRAM from the DATA register; every offset is a multiple of 8.
"""

from __future__ import annotations

from enum import IntEnum

from .fields import Field, Record

ISA_VERSION = 6
BEAT_BYTES = 8
DESCRIPTOR_BYTES = 64
MAX_CODE_LENGTH = 12
RUN_BITS = 8  # zero run of a table entry
VALUE_BITS = 9  # int8 weight, or the difference of two
LITERAL_RUN_BITS = 12
LITERAL_BITS = LITERAL_RUN_BITS + VALUE_BITS + 1
CODE_TABLE_BITS = 3
MASK_BITS = 4
CODE_TABLES = 1 << CODE_TABLE_BITS
SLOT_BITS = 3
SLOTS = 1 << SLOT_BITS
SLOT_SHIFT_MAX = 15
MULTIPLIER_BITS = 16
SHIFT_BITS = 6
GATHERED_ROWS = 8
"""Most rows of one pixel that leave a lane as one word of a gathered layer."""
BIAS_BITS = 24
NO_ESCAPE = 1 << MAX_CODE_LENGTH
NOBODY = 0xFF
"""ERROR.lane where no lane is at fault."""


class _Documented(IntEnum):
    """Numbers with a sentence each, for the generated documentation."""

    doc: str

    def __new__(cls, value: int, doc: str = "") -> _Documented:
        member = int.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


class Opcode(_Documented):
    END = 0, "Stop; raise `done`."
    LOAD = (
        1,
        "`in_channels` blocks of `beats` beats from DRAM (`address` + DATA, then every `stride` bytes) into the "
        "activation memory (at byte `x_address`, then every `in_plane` bytes; addresses wrap), over all ports in turn. "
        "Blocks that overlap there are written in no certain order.",
    )
    STORE = 2, "`beats` beats from the activation memory at byte `x_address` to DRAM (`address` + DATA)."
    LAYER = 3, "Load the tables at `address` + PROGRAM, then run every lane's rows."


class ErrorCode(_Documented):
    NONE = 0, "No error."
    BAD_POINTER = 1, "PROGRAM or DATA is not a multiple of 8."
    BAD_DESCRIPTOR = 2, "Unknown opcode, or a field that this configuration cannot hold."
    AXI_READ = 3, "The memory answered a read with SLVERR or DECERR."
    AXI_WRITE = 4, "The memory answered a write with SLVERR or DECERR."
    BAD_SYMBOL = 5, "The stream holds bits that are no codeword."
    BAD_POSITION = 6, "A zero run leads past the end of its row."
    UNDERRUN = 7, "The stream ended before the lane's last row."
    SIGNATURE = 8, "Tables and streams of a layer do not XOR to the descriptor's signature."
    WATCHDOG = 9, "A descriptor took more cycles than the WATCHDOG register allows."
    ABORTED = 10, "The host asked to stop (CONTROL.abort)."


DESCRIPTOR = Record(
    "descriptor",
    (
        Field("opcode", 8, "see Opcode"),
        Field("layer", 8, "the host's number of the layer, repeated in error reports"),
        Field("maximum", 1, "LAYER: lanes take the maximum of products in place of their sum (max pooling)"),
        Field("split", 1, "LAYER: write even and odd rows and columns to four planes, for a consumer of stride 2"),
        Field("flat", 1, "LAYER: out_pitch == pitch == out_width, not split: words are written as they were computed"),
        Field("uniform", 1, "LAYER: all channels are requantised alike: the channel table has one entry"),
        Field("gathered", 4, "LAYER: not 0: one pixel, uniform; so many of a lane's rows leave at a time, as one word"),
        Field("total", 1, "LAYER: rows have one word; its pixel 0 becomes the sum of all its pixels, the others 0"),
        Field("beside", 1, "LOAD: runs beside the LAYER before it, which neither needs nor writes what is loaded"),
        Field("reserved0", 6),
        Field("beats", 32, "LOAD, STORE: beats of a block. LAYER: beats of all tables together"),
        Field("address", 32, "byte offset in DRAM; see Opcode"),
        Field("x_address", 32, "LOAD, STORE: byte address in activation memory. LAYER: where output channel 0 starts"),
        Field(
            "in_channels", 16, "LAYER: C: positions of one tap; a row has taps x C positions, tap-major. LOAD: blocks"
        ),
        Field("taps", 16, "T: kernel positions"),
        Field("in_plane", 16, "LAYER: bytes from a channel's plane to the next. LOAD: from a block to the next"),
        Field("words", 16, "words of P output pixels in a row"),
        Field("out_channels", 16, "M: rows of all lanes together"),
        Field("symbol_beats", 16, "beats of the symbol table, two entries each"),
        Field("slot_shift", 8, "accumulator slot s starts at word s << slot_shift"),
        Field("clamp_low", 8, "lower limit of an output; 0 is ReLU", signed=True),
        Field("clamp_high", 8, "upper limit of an output", signed=True),
        Field("code_tables", 8, "code tables of the layer, at least 1"),
        Field("pitch", 16, "computed pixels per output row (the input's row pitch)"),
        Field("out_width", 16, "leading columns that are results; the rest are written as zero"),
        Field("out_columns", 16, "columns that are written at all, at most `pitch`; gathered: at most `gathered`"),
        Field("out_height", 16, "rows of results"),
        Field("out_pitch", 16, "bytes from a written row to the next, within one plane"),
        Field("out_plane", 16, "bytes from an output channel to the next, all its planes together"),
        Field("row_phase", 16, "split: bytes from the plane of even rows to that of odd rows"),
        Field("column_phase", 16, "split: bytes from the plane of even columns to that of odd columns"),
        Field("mask_beats", 8, "entries of the mask table"),
        Field("phases", 8, "entries of a mask row: words after which columns recur; at least 1"),
        Field("lane_from", 8, "LOAD: first lane written. STORE: 0, the lane that is read"),
        Field("lane_to", 8, "LOAD: lane after the last one written"),
        Field("stride", 32, "LOAD: bytes from a block to the next in DRAM"),
        Field("signature", 64, "XOR of all beats of the layer's tables and streams"),
    ),
)
assert DESCRIPTOR.width == 8 * DESCRIPTOR_BYTES

# The tables of a layer, in this order, one record a beat (symbols: two): all lanes' streams, all lanes' rows, what all
# lanes keep, the codes, taps, masks, symbols, channels.
LANE_STREAM = Record("lane stream", (Field("address", 32, "byte offset from PROGRAM"), Field("beats", 32)))
LANE_ROWS = Record(
    "lane rows",
    (
        Field("rows", 16),
        Field("first_channel", 16, "output channel of the first row"),
        Field("table", CODE_TABLE_BITS, "code table of the first row"),
        Field("first_row", 16 - CODE_TABLE_BITS, "row of the output plane that the lane's row 0 is"),
        Field("first_word", 16, "word of the output plane that the lane's word 0 is"),
    ),
)
LANE_KEEP = Record(
    "lane keep",
    (
        Field("keep_from", 16, "first half word of an output plane that the lane keeps", signed=True),
        Field("keep_to", 16, "half word after the last one that it keeps", signed=True),
        Field("reserved", 32),
    ),
)
"""Of words of less than 4 pixels: words in place of half words."""
LANE_TABLES = 3
"""Beats a lane: LANE_STREAM, LANE_ROWS, LANE_KEEP."""
CODE = Record(
    "code",
    (
        Field("limit", 16, "first 12-bit window that no codeword of this length or shorter begins"),
        Field("base", 16, "index of a codeword = its value + base, modulo 2**16"),
        Field("reserved", 32),
    ),
)
"""For each code table one for each length 1..MAX_CODE_LENGTH, then one whose limit is the escape codeword's first
window (or NO_ESCAPE). All code tables share one symbol table, through their bases."""
TAP = Record(
    "tap",
    (
        Field("x_address", 20, "byte address, in channel 0's plane, of what flat pixel `first_word * P` multiplies"),
        Field("mask", MASK_BITS, "row of the mask table, from 1; 0: every column counts"),
        Field("reserved", 8),
        Field("shift", 16, "added to a flat pixel number; the sum must lie in 0..end-1 to count", signed=True),
        Field("end", 16, "pixels of the plane that the tap reads"),
    ),
)
MASK = Record("mask", (Field("pixels", 32, "bit p: pixel p of the word counts"), Field("reserved", 32)))
"""Entry `(mask - 1) * phases + word % phases`. Pixels that do not count are 0, or -128 where maxima are taken."""
SYMBOL = Record(
    "symbol",
    (
        Field("value", VALUE_BITS, "weight, or difference of weights", signed=True),
        Field("run", RUN_BITS, "zeros before it"),
        Field("end", 1, "end of row: the other bits are ROW"),
        Field("reserved", 14),
    ),
)
ROW = Record(
    "row",
    (
        Field("target", SLOT_BITS, "slot that the next row accumulates into"),
        Field("source", SLOT_BITS, "slot that the next row starts from"),
        Field("differential", 1, "0: the next row starts from zero"),
        Field("table", CODE_TABLE_BITS, "code table of the next row, in a literal; 0 in the symbol table: the same"),
        Field("reserved", VALUE_BITS + RUN_BITS - 2 * SLOT_BITS - 1 - CODE_TABLE_BITS),
    ),
)
"""What an end of row says of the row that follows it. A lane's first row starts from zero, into slot 0."""
CHANNEL = Record(
    "channel",
    (
        Field("bias", BIAS_BITS, "in accumulator units", signed=True),
        Field("reserved0", 8),
        Field("multiplier", MULTIPLIER_BITS),
        Field("shift", SHIFT_BITS, "1..63"),
        Field("reserved1", 10),
    ),
)
LITERAL = Record(
    "literal",
    (
        Field("value", VALUE_BITS, signed=True),
        Field("run", LITERAL_RUN_BITS),
        Field("end", 1, "end of row: the low bits are ROW; the only kind that can change the code table"),
    ),
)
"""Follows an escape codeword, most significant bit first: end, run, value."""


CODE_BEATS = MAX_CODE_LENGTH + 1
"""Beats of one code table."""


TABLE_SIZES = ("code_tables", "taps", "mask_beats", "symbol_beats", "out_channels", "uniform")
"""Fields of the descriptor that decide how long the tables are: `table_beats(lanes, *sizes)`."""


def table_beats(
    lanes: int, code_tables: int, taps: int, mask_beats: int, symbol_beats: int, out_channels: int, uniform: int
) -> int:
    """Beats of a layer's tables."""
    channels = 1 if uniform else out_channels
    return LANE_TABLES * lanes + code_tables * CODE_BEATS + taps + mask_beats + symbol_beats + channels

"""Hardware configurations: named, frozen, validated, and hashed into the device's identity register."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from .errors import ConfigError
from .isa import BEAT_BYTES, CODE_TABLES, GATHERED_ROWS, ISA_VERSION, SLOTS
from .parts import PARTS, Part, shortage


@dataclass(frozen=True)
class Config:
    """Everything that a bitstream fixes and a compiler must respect.

    A lane holds `x_words` words of `pixels` int8 activations and `acc_words` words of `pixels` accumulators.
    Raises ConfigError naming the field and the reason, or what the board's part has too little of.
    """

    name: str
    lanes: int
    """L: streams decoded side by side."""
    pixels: int
    """P: activations that one decoded weight multiplies in a cycle; a power of two."""
    x_words: int = 2048
    """Depth of each lane's activation memory, in words of P bytes; a power of two."""
    acc_words: int = 128
    """Depth of each lane's accumulator memory, in words of P accumulators; a power of two."""
    acc_bits: int = 24
    """Accumulator width; the compiler proves that no sum leaves it."""
    symbols: int = 1024
    """Entries of the symbol table, all code tables together; a power of two."""
    code_tables: int = 4
    """Code tables of one layer; a power of two."""
    taps: int = 32
    """Entries of the tap table: kernel positions; a power of two."""
    masks: int = 64
    """Entries of the mask table, which says where padding is; a power of two."""
    channels: int = 1024
    """Entries of the requantisation table: output channels of one layer; a power of two."""
    fifo_beats: int = 32
    """Depth of each lane's stream FIFO in 64-bit beats; a power of two."""
    burst_beats: int = 16
    """Longest AXI burst in beats."""
    read_ports: int = 1
    """AXI4 read masters, 64 bits each; lanes take turns at them."""

    def __post_init__(self) -> None:
        def need(condition: bool, field: str, reason: str) -> None:
            if not condition:
                raise ConfigError(f"config {self.name}: {field} = {getattr(self, field)} {reason}")

        need(1 <= self.lanes <= 32, "lanes", "is outside 1..32")
        need(self.pixels in (1, 2, 4, 8, 16, 32), "pixels", "is not a power of two up to 32")
        for field, low, high in (
            ("x_words", 4, 1 << 16),
            ("acc_words", SLOTS, 1 << 12),
            ("symbols", 4, 4096),
            ("code_tables", 1, CODE_TABLES),
            ("taps", 2, 128),
            ("masks", 4, 256),
            ("channels", 4, 4096),
            ("fifo_beats", 4, 512),
        ):
            value = getattr(self, field)
            need(low <= value <= high and value & (value - 1) == 0, field, f"is not a power of two in {low}..{high}")
        need(self.x_words * self.pixels >= BEAT_BYTES, "x_words", "holds less than one beat")
        need(self.x_words * self.pixels <= 1 << 20, "x_words", "is more than the 20 bits of an address reach")
        need(16 <= self.acc_bits <= 32, "acc_bits", "is outside 16..32")
        need(self.read_ports in (1, 2), "read_ports", "is not 1 or 2")
        need(self.lanes % self.read_ports == 0, "lanes", "is not a multiple of read_ports")
        need(1 <= self.burst_beats <= min(256, self.fifo_beats), "burst_beats", "exceeds 256 or the lane FIFO")
        lacking = shortage(self, self.part) if self.part else None
        if lacking:
            raise ConfigError(f"config {self.name}: {lacking}")

    @property
    def part(self) -> Part | None:
        """The part that a configuration of this name is for; None: any."""
        name = PART_OF_CONFIG.get(self.name)
        return PARTS[name] if name else None

    @property
    def x_bytes(self) -> int:
        """Activation memory of a lane (all lanes hold the same bytes)."""
        return self.x_words * self.pixels

    @property
    def gathered_rows(self) -> int:
        """Most rows that a word of a gathered layer has; 0: words are too short to be worth it."""
        return min(GATHERED_ROWS, self.pixels) if self.pixels >= 4 else 0

    @property
    def hash(self) -> int:
        """32 bits over every parameter and the instruction set version; the name does not count."""
        fields = {key: value for key, value in asdict(self).items() if key != "name"}
        text = json.dumps({"isa": ISA_VERSION, **fields}, sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


PART_OF_CONFIG = {
    "pynq-z1": "xc7z020",
    "pynq-z2": "xc7z020",
    "ultra96v2": "xczu3eg",
    "kv260": "xck26",
    "zcu104": "xczu7ev",
}
"""Boards. Other configurations are for whatever holds them; reports compare them with `parts.DEFAULT_PART`."""

_ZYNQ_7020 = Config("", lanes=16, pixels=16, x_words=1024, acc_words=32, taps=64, masks=32, channels=4096, read_ports=2)
_ULTRASCALE = replace(_ZYNQ_7020, acc_words=64, masks=64)

CONFIGS = {
    config.name: config
    for config in (
        Config("tiny", lanes=1, pixels=1, x_words=16384, acc_words=1024),
        Config("small", lanes=2, pixels=4, x_words=4096, acc_words=256),
        Config("demo", lanes=4, pixels=8, x_words=2048, acc_words=32),
        replace(_ZYNQ_7020, name="pynq-z1"),
        replace(_ZYNQ_7020, name="pynq-z2"),
        replace(_ULTRASCALE, name="ultra96v2", x_words=2048),
        replace(_ULTRASCALE, name="kv260", symbols=2048, code_tables=8),
        replace(_ULTRASCALE, name="zcu104", lanes=32, symbols=2048, code_tables=8),
    )
}


def get_config(name: str) -> Config:
    """The configuration of that name; ConfigError lists the names there are."""
    try:
        return CONFIGS[name]
    except KeyError:
        raise ConfigError(f"no config {name!r}; there are: {', '.join(CONFIGS)}") from None

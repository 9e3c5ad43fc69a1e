"""Random configurations for random layers: lanes, pixels, depths of all memories, FIFOs, bursts, ports.

Configuration n of seed s is always the same, and is named `s<seed>c<n>`.
"""

from __future__ import annotations

import re

import numpy as np

from headrace.config import Config
from headrace.errors import ConfigError
from random_layers import CONFIGS

NAME = re.compile(r"s(\d+)c(\d+)")


def random_config(seed: int, number: int) -> Config:
    """Small enough that a build takes a minute, and that many layers need strips or several passes."""
    rng = np.random.default_rng([seed, number, 0xC0])

    def one_of(*values: int) -> int:
        return int(rng.choice(values))

    ports, pixels = one_of(1, 1, 2), one_of(1, 2, 4, 8, 16)
    lanes = ports * one_of(1, 2, 3, 4)
    fifo_beats = one_of(8, 16, 32, 64)
    return Config(
        f"s{seed}c{number}",
        lanes=lanes,
        pixels=pixels,
        x_words=one_of(1024, 2048, 4096) // pixels,
        acc_words=one_of(8, 16, 32, 64),
        acc_bits=one_of(22, 24, 28, 32),
        symbols=one_of(64, 256, 1024),
        code_tables=one_of(1, 2, 4, 8),
        taps=one_of(32, 64),
        masks=one_of(16, 32, 64),
        channels=one_of(32, 64),
        fifo_beats=fifo_beats,
        burst_beats=min(fifo_beats, one_of(4, 7, 16, 32)),
        read_ports=ports,
    )


def config_named(name: str) -> Config:
    """Of random_layers.CONFIGS, or a random one; ConfigError for another name."""
    if name in CONFIGS:
        return CONFIGS[name]
    found = NAME.fullmatch(name)
    if not found:
        raise ConfigError(f"no config {name!r}; there are {', '.join(CONFIGS)} and s<seed>c<number>")
    return random_config(int(found[1]), int(found[2]))

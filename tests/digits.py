"""The MNIST digits that come with headrace, split into a training and a test set, as a folder of idx files."""

from __future__ import annotations

import struct
from pathlib import Path

from headrace.data import embedded_digits

TRAIN = 208


def write_digits(folder: Path) -> Path:
    """208 digits to train with, 48 to test with."""
    images, labels = embedded_digits()
    parts = {"train": (images[:TRAIN], labels[:TRAIN]), "t10k": (images[TRAIN:], labels[TRAIN:])}
    for name, (x, y) in parts.items():
        head = struct.pack(">4I", 0x803, len(x), 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + x.tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, len(y)) + y.tobytes())
    return folder

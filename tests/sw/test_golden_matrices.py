"""Real matrices in the stored form: they decode to what they were, and the encoder makes them no larger."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from headrace.codecs.stream import Stream, StreamEncoded

FOLDER = Path(__file__).parent.parent / "golden" / "matrices"
GOLDEN = {
    # shape, density, SHA-256 of the float32 entries, multiplications of one product
    "deepdta_davis_fc1_p80_k256": (
        (192, 1024),
        0.2,
        "a0ee649e010fc9315f5cc8bb9b9d7cfb9b6eef255aba0957201d4e49fd259452",
        39322,
    ),
    "vgg19_mnist_fc1_p90_k32": (
        (512, 4096),
        0.1,
        "9b2f3907d8792c287ae5adaa01752c5ea04db179adee2520c0bd734fe322a576",
        29249,
    ),
    "vgg19_mnist_fc1_p99_k32": (
        (512, 4096),
        0.01,
        "b9d6ec01c7d4df380c433b6c18cdbd9867faac3209524bbe09d43dd4104df551",
        1731,
    ),
}


def stored(name: str) -> StreamEncoded:
    return StreamEncoded.from_bytes((FOLDER / f"{name}.hrw").read_bytes())


@pytest.mark.parametrize("name", GOLDEN)
def test_decodes(name: str) -> None:
    shape, density, digest, macs = GOLDEN[name]
    encoded = stored(name)
    W = Stream().decode(encoded)
    assert (W.shape, W.dtype) == (shape, np.float32)
    assert round(np.count_nonzero(W) / W.size, 3) == density
    assert hashlib.sha256(W.astype("<f4").tobytes()).hexdigest() == digest
    assert encoded.figures["macs"] == macs


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_encodes_no_larger(name: str) -> None:
    """A regression of size; a gain asks for `python tests/sw/test_golden_matrices.py`, which writes the files anew."""
    encoded = stored(name)
    again = Stream().encode(Stream().decode(encoded))
    assert again.nbytes <= encoded.nbytes
    assert again.figures["macs"] <= encoded.figures["macs"]


if __name__ == "__main__":
    for file in sorted(FOLDER.glob("*.hrw")):
        W = Stream().decode(StreamEncoded.from_bytes(file.read_bytes()))
        encoded = Stream().encode(W)
        file.write_bytes(encoded.data)
        digest = hashlib.sha256(W.astype("<f4").tobytes()).hexdigest()
        density = round(np.count_nonzero(W) / W.size, 3)
        print(f'    "{file.stem}": ({W.shape}, {density}, "{digest}", {encoded.figures["macs"]}),')

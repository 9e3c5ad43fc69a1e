"""Coders from elsewhere, each on the numbers of a matrix's entries in its dictionary: bytes, and how to decode them.

Sizes include the dictionary and whatever model the decoder needs. A peer that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Peer:
    """Coded ranks (n, m)."""

    name: str
    nbytes: int
    decode: Callable[[], Any]
    """The ranks, in the shape that was coded."""


def peers(ranks: Ranks, dictionary: npt.NDArray[Any]) -> Iterator[Peer]:
    """Every peer there is, in its best orientation."""
    for make in (_zlib, _zstd, _xz, _ans, _nncodec):
        candidates = [peer for oriented in (ranks, ranks.T) if (peer := make(np.ascontiguousarray(oriented)))]
        if candidates:
            best = min(candidates, key=lambda peer: peer.nbytes)
            yield Peer(best.name, best.nbytes + dictionary.nbytes, best.decode)


def _bytes(ranks: Ranks) -> npt.NDArray[np.unsignedinteger]:
    return ranks.astype(np.min_scalar_type(int(ranks.max(initial=0))))


def _zlib(ranks: Ranks) -> Peer:
    data, like = zlib.compress(_bytes(ranks).tobytes(), 9), _bytes(ranks)
    return Peer("zlib -9", len(data), lambda: np.frombuffer(zlib.decompress(data), like.dtype).reshape(like.shape))


def _zstd(ranks: Ranks) -> Peer | None:
    if importlib.util.find_spec("zstandard") is None:
        return None
    import zstandard

    like = _bytes(ranks)
    data = zstandard.ZstdCompressor(level=19).compress(like.tobytes())
    decoder = zstandard.ZstdDecompressor()
    return Peer("zstd -19", len(data), lambda: np.frombuffer(decoder.decompress(data), like.dtype).reshape(like.shape))


def _xz(ranks: Ranks) -> Peer:
    like = _bytes(ranks)
    data = lzma.compress(like.tobytes(), preset=9)
    return Peer("xz -9", len(data), lambda: np.frombuffer(lzma.decompress(data), like.dtype).reshape(like.shape))


def _ans(ranks: Ranks) -> Peer | None:
    """Asymmetric numeral systems at the zero-order model: 16 bits a value for its frequency."""
    if importlib.util.find_spec("constriction") is None:
        return None
    import constriction

    counts = np.bincount(ranks.ravel())
    model = constriction.stream.model.Categorical(counts / max(int(counts.sum()), 1), perfect=False)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(ranks.ravel().astype(np.int32), model)
    data = coder.get_compressed()

    def decode() -> Any:
        fresh = constriction.stream.stack.AnsCoder(data)
        return fresh.decode(model, ranks.size).reshape(ranks.shape)

    return Peer("ANS, zero order", data.nbytes + 2 * counts.size, decode)


def _nncodec(ranks: Ranks) -> Peer | None:
    """DeepCABAC of the reference software, its entropy coder alone: the package's own import needs torchvision."""
    spec = importlib.util.find_spec("nncodec")
    places = list(spec.submodule_search_locations or []) if spec else []
    found = [file for place in places for file in Path(place).glob("extensions/deepCABAC*.so")]
    if not found:
        return None
    loader = importlib.util.spec_from_file_location("deepCABAC", found[0])
    assert loader is not None and loader.loader is not None
    cabac = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(cabac)

    off = (cabac.HdspMode.AlwaysOff, np.zeros(2, np.int8))
    zero = int(np.argmax(np.bincount(ranks.ravel())))
    levels = (ranks - zero).astype(np.int32)
    skipped = np.array([not row.any() for row in levels], np.int32)
    best: tuple[int, int, bytes] | None = None
    for unary in (1, 10, 16):
        for skip in (0, 1):
            encoder = cabac.Encoder()
            encoder.initCtxModels(unary, 1)
            encoder.encodeLayer(levels, 0, 0, 1, 0, skip, skipped, *off, 0, 0)
            data = encoder.finish()
            if best is None or len(data) < best[0]:
                best = len(data), unary, data
    assert best is not None
    size, unary, data = best

    def decode() -> Any:
        decoder = cabac.Decoder()
        decoder.setStream(data)
        decoder.initCtxModels(unary)
        result = np.zeros(levels.shape, np.int32)
        decoder.decodeLayer(result, 0, 0, 1, 0, *off, 0, 0)
        decoder.finish()
        return result + zero

    return Peer("NNCodec", size + struct.calcsize("<IIHB"), decode)

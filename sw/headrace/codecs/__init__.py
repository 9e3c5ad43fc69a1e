"""Lossless storage formats of a matrix, by name in `CODECS`."""

from __future__ import annotations

from typing import Any

from headrace.codecs.base import Codec, Encoded, dense_product
from headrace.codecs.bounds import entropy, hac_bound, shac_bound
from headrace.codecs.hac import Hac, HacEncoded
from headrace.codecs.shac import Shac, ShacEncoded

CODECS: dict[str, Codec[Any]] = {codec.name: codec for codec in (Hac(), Shac())}
"""Every format with its default parameters."""

__all__ = [
    "CODECS",
    "Codec",
    "Encoded",
    "Hac",
    "HacEncoded",
    "Shac",
    "ShacEncoded",
    "dense_product",
    "entropy",
    "hac_bound",
    "shac_bound",
]

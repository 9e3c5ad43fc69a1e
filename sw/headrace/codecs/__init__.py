"""Lossless storage formats of a matrix, by name in `CODECS`."""

from __future__ import annotations

from typing import Any

from headrace.codecs.base import Codec, Encoded, dense_product
from headrace.codecs.bounds import (
    coo_bound,
    csc_bound,
    cser_bound,
    entropy,
    hac_bound,
    im_bound,
    shac_bound,
    upper_bound,
)
from headrace.codecs.cla import Cla, ClaEncoded
from headrace.codecs.coo import Coo, CooEncoded
from headrace.codecs.csc import Csc, CscEncoded
from headrace.codecs.cser import Cser, CserEncoded
from headrace.codecs.csr import Csr, CsrEncoded
from headrace.codecs.hac import Hac, HacEncoded
from headrace.codecs.im import Im, ImEncoded
from headrace.codecs.shac import Shac, ShacEncoded
from headrace.codecs.stream import Stream, StreamEncoded

CODECS: dict[str, Codec[Any]] = {
    codec.name: codec
    for codec in (
        *(Im(), Csc(), Csr(), Coo(), Cser(), Cla()),
        *(Hac(), Shac(), Hac(word_bits=64), Shac(word_bits=64)),
        Stream(),
    )
}
"""Every format with its default parameters, and HAC and sHAC with words of 64 bits besides."""

__all__ = [
    "CODECS",
    "Cla",
    "ClaEncoded",
    "Codec",
    "Coo",
    "CooEncoded",
    "Csc",
    "CscEncoded",
    "Cser",
    "CserEncoded",
    "Csr",
    "CsrEncoded",
    "Encoded",
    "Hac",
    "HacEncoded",
    "Im",
    "ImEncoded",
    "Shac",
    "ShacEncoded",
    "Stream",
    "StreamEncoded",
    "coo_bound",
    "csc_bound",
    "cser_bound",
    "dense_product",
    "entropy",
    "hac_bound",
    "im_bound",
    "shac_bound",
    "upper_bound",
]

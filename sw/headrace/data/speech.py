"""Keyword spotting: clips of one second at 16 kHz to 49 x 10 coefficients, as MLPerf Tiny computes them.

Frames of 480 samples every 320 under a Hann window, a Fourier transform of 512 points, magnitudes, 40 mel bands from
20 to 4000 Hz, logarithms, a cosine transform of which the first 10 coefficients stay. In int8: `c / SCALE + ZERO`, cut
towards zero.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError

RATE = 16_000
FRAME, STEP, POINTS = 480, 320, 512
BANDS, LOW_HZ, HIGH_HZ = 40, 20.0, 4000.0
COEFFICIENTS = 10
FRAMES = 1 + (RATE - FRAME) // STEP
SCALE, ZERO = 0.5847029089927673, 83
"""Of the benchmark's int8 model."""
CLASSES = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "_silence_", "_unknown_")
"""In the order of the labels."""
TEST_FOLDER_FILES = 20_000
"""Most files of a folder of clips."""


def load_clip(path: str | Path) -> NDArray[np.int16]:
    """The samples (16000,) int16 of a .wav file, padded with zeros behind, or cut. DataError for another kind."""
    try:
        with Path(path).open("rb") as file, wave.open(file) as clip:
            kind = clip.getnchannels(), clip.getsampwidth(), clip.getframerate()
            if kind != (1, 2, RATE):
                raise DataError(
                    f"{path} has {kind[0]} channels of {8 * kind[1]} bits at {kind[2]} Hz, not 1, 16, {RATE}"
                )
            samples = np.frombuffer(clip.readframes(RATE), "<i2")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (wave.Error, EOFError, ValueError) as error:
        raise DataError(f"{path} is no .wav file: {error}") from None
    result = np.zeros(RATE, np.int16)
    result[: len(samples)] = samples
    return result


def load_speech_commands(folder: str | Path, limit: int | None = None) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """(coefficients int8 (n, 1, 49, 10), labels uint8 (n,)) of the clips in the folders named as `CLASSES`.

    That is how the official test set is packed. limit: the first so many of each class, by name. DataError where there
    are none, or a file is no clip.
    """
    folder = Path(folder)
    parts, labels = [], []
    for label, name in enumerate(CLASSES):
        paths = sorted((folder / name).glob("*.wav"))[:limit]
        if len(paths) > TEST_FOLDER_FILES:
            raise DataError(f"{folder / name} holds {len(paths):,} clips, more than a test set has")
        if paths:
            parts.append(quantised(coefficients(np.stack([load_clip(path) for path in paths]))))
            labels += [label] * len(paths)
    if not parts:
        raise DataError(f"{folder} holds no folder of clips named as a class ({', '.join(CLASSES)})")
    return np.concatenate(parts), np.array(labels, np.uint8)


def coefficients(clips: NDArray[np.int16]) -> NDArray[np.float32]:
    """Clips (n, 16000) to (n, 1, 49, 10). ValueError for another length.

    A clip is first divided by its greatest sample (not magnitude), as the benchmark does; one without a positive
    sample stays as it is.
    """
    if clips.ndim != 2 or clips.shape[1] != RATE:
        raise ValueError(f"clips must be (n, {RATE}), not {clips.shape}")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    bands, cosines = _mel_bands(), _cosines()
    result = np.empty((len(clips), 1, FRAMES, COEFFICIENTS), np.float32)
    for clip, out in zip(clips, result, strict=True):
        real = clip.astype(np.float64)
        top = real.max(initial=0.0)
        real /= top if top > 0 else 32768.0
        frames = np.lib.stride_tricks.sliding_window_view(real, FRAME)[::STEP] * window
        magnitudes = np.abs(np.fft.rfft(frames, POINTS, axis=1))
        out[0] = np.log(magnitudes @ bands + 1e-6) @ cosines
    return result


def quantised(values: NDArray[np.float32]) -> NDArray[np.int8]:
    """Coefficients as the benchmark's int8 model reads them."""
    return np.clip(np.trunc(values / np.float32(SCALE) + ZERO), -128, 127).astype(np.int8)


def _mel_bands() -> NDArray[np.float64]:
    """(257, 40): triangles between points that are evenly spaced in mel, 1127 * ln(1 + f / 700); bin 0 counts not."""

    def mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = 1127.0 * np.log1p(hertz / 700.0)
        return result

    bins = mel(np.linspace(0.0, RATE / 2, POINTS // 2 + 1))[1:, None]
    lowest, highest = mel(np.array([LOW_HZ, HIGH_HZ]))
    edges = np.linspace(float(lowest), float(highest), BANDS + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.maximum(0.0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    return np.concatenate([np.zeros((1, BANDS)), triangles])


def _cosines() -> NDArray[np.float64]:
    """(40, 10): the cosine transform of type II, scaled by 1 / sqrt(2 * 40)."""
    n, k = np.arange(BANDS)[:, None], np.arange(COEFFICIENTS)
    cosines: NDArray[np.float64] = 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * BANDS)) / np.sqrt(2 * BANDS)
    return cosines

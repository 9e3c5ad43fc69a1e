"""Coefficients of clips, against the sums that define them."""

from __future__ import annotations

import wave
from math import cos, log, pi
from pathlib import Path

import numpy as np
import pytest

from headrace.data import speech
from headrace.errors import DataError


def clip(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tone = 8000 * np.sin(2 * np.pi * 700 * np.arange(16_000) / 16_000)
    return (tone + rng.normal(0, 1000, 16_000)).astype(np.int16)


def write(path: Path, samples: np.ndarray, rate: int = 16_000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def slow(samples: np.ndarray, frame: int) -> list[float]:
    """One frame's coefficients, term by term."""
    real = samples.astype(float) / samples.max()
    part = [real[320 * frame + n] * (0.5 - 0.5 * cos(2 * pi * n / 480)) for n in range(480)]
    bins = [abs(sum(v * np.exp(-2j * pi * k * n / 512) for n, v in enumerate(part))) for k in range(257)]

    def mel(hertz: float) -> float:
        return 1127 * log(1 + hertz / 700)

    edges = [mel(20) + n * (mel(4000) - mel(20)) / 41 for n in range(42)]
    logs = []
    for band in range(40):
        low, middle, high = edges[band : band + 3]
        energy = 0.0
        for k in range(1, 257):
            m = mel(k * 8000 / 256)
            energy += bins[k] * max(0.0, min((m - low) / (middle - low), (high - m) / (high - middle)))
        logs.append(log(energy + 1e-6))
    return [2 * sum(v * cos(pi * k * (2 * n + 1) / 80) for n, v in enumerate(logs)) / 80**0.5 for k in range(10)]


def test_coefficients():
    samples = clip(0)
    got = speech.coefficients(samples[None])
    assert got.shape == (1, 1, 49, 10) and got.dtype == np.float32
    for frame in (0, 23, 48):
        assert np.allclose(got[0, 0, frame], slow(samples, frame), atol=1e-4)
    with pytest.raises(ValueError, match="clips must be"):
        speech.coefficients(samples[None, :100])


def test_silence():
    assert np.isfinite(speech.coefficients(np.zeros((1, 16_000), np.int16))).all()


def test_quantised():
    values = np.array([0.0, speech.SCALE * 1.01, -speech.SCALE * 200.5, 1e4], np.float32)
    assert speech.quantised(values).tolist() == [83, 84, -117, 127]


def test_folders(tmp_path: Path):
    write(tmp_path / "yes" / "b.wav", clip(1))
    write(tmp_path / "yes" / "a.wav", clip(2)[:12_000])
    write(tmp_path / "down" / "c.wav", np.append(clip(3), clip(4)))
    x, y = speech.load_speech_commands(tmp_path)
    assert x.shape == (3, 1, 49, 10) and x.dtype == np.int8 and y.tolist() == [0, 9, 9]
    padded = np.append(clip(2)[:12_000], np.zeros(4000, np.int16))
    assert np.array_equal(x[1], speech.quantised(speech.coefficients(padded[None]))[0])
    assert np.array_equal(x[0], speech.quantised(speech.coefficients(clip(3)[None]))[0])
    assert speech.load_speech_commands(tmp_path, 1)[1].tolist() == [0, 9]


def test_errors(tmp_path: Path):
    with pytest.raises(DataError, match="no folder of clips"):
        speech.load_speech_commands(tmp_path)
    with pytest.raises(DataError, match="8000 Hz"):
        speech.load_clip(write(tmp_path / "a.wav", clip(0), rate=8000))
    with pytest.raises(DataError, match="2 channels"):
        speech.load_clip(write(tmp_path / "a.wav", clip(0), channels=2))
    (tmp_path / "b.wav").write_bytes(b"RIFFxxxx")
    with pytest.raises(DataError, match=r"no \.wav"):
        speech.load_clip(tmp_path / "b.wav")
    with pytest.raises(DataError, match="cannot be read"):
        speech.load_clip(tmp_path / "none.wav")

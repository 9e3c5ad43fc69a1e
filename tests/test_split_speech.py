"""scripts/split_speech: speakers of the two sets differ, and excluded clips are not trained on."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.data.samples import open_samples
from headrace.data.speech import RATE, load_speech_commands
from script_modules import script_module

SPEAKERS = [f"{number:08x}" for number in range(10)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("split_speech")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    generator = np.random.default_rng(1)
    for name, before in (("yes", ""), ("_unknown_", "bed_")):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for who in SPEAKERS:
            with wave.open(str(tmp_path / "clips" / name / f"{before}{who}_nohash_0.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes(generator.integers(-3000, 3000, RATE).astype("<i2").tobytes())
    return tmp_path / "clips"


def split(script, *arguments: object):
    return CliRunner().invoke(script.main, [str(one) for one in arguments])


def test_no_speaker_is_in_both(script, clips: Path, tmp_path: Path):
    result = json.loads(split(script, "--clips", clips, "-o", tmp_path / "out", "--json").stdout)
    assert (result["speakers"], result["train"], result["test"]) == (10, 14, 6)
    x = load_speech_commands(clips)[0].reshape(2, 10, -1)  # in the order of classes, then of speakers
    sets = [open_samples(str(tmp_path / "out"), name).inputs for name in ("train", "test")]
    who = [{int(np.argwhere((x == one.ravel()).all(axis=2))[0, 1]) for one in part} for part in sets]
    assert who[0] | who[1] == set(range(10)) and not who[0] & who[1]


def test_clips_left_out(script, clips: Path, tmp_path: Path):
    x, y = load_speech_commands(clips)
    np.savez(tmp_path / "known.npz", mfcc_int8=np.minimum(x[:5, 0], 126) + np.int8(1), y=y[:5])
    arguments = ("--clips", clips, "-o", tmp_path / "out", "--exclude", tmp_path / "known.npz", "--json")
    result = json.loads(split(script, *arguments).stdout)
    assert result["test"] == 6 and result["train"] == 14 - result["left_out"] and 0 < result["left_out"] <= 5
    trained = open_samples(str(tmp_path / "out"), "train").inputs
    assert not any((trained == one).all(axis=(1, 2, 3)).any() for one in x[:5])


def test_nothing_to_split(script, tmp_path: Path):
    result = split(script, "--clips", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 1 and "holds no folder of clips" in result.output and not (tmp_path / "out").exists()

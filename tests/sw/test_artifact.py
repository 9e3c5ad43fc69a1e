"""The `.hrz` container: equal bytes, and a FormatError for anything that is not what was saved."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.artifact import CONTAINER_VERSION, MAGIC, MAX_HEADER_BYTES, Artifact
from headrace.compile import compile_network
from headrace.config import get_config
from headrace.device import open_device
from headrace.errors import DataError, FormatError
from headrace.network import MaxPool2d, Network
from headrace.session import Session
from networks import conv2d, linear

GOLDEN = Path(__file__).parent.parent / "golden" / "tiny.hrz"
GOLDEN_SHA256 = "8a6ff77a2892e4a6ef0ebde3b765033702b1375c644a82cc788625320e333f7e"
GOLDEN_OUTPUT = [[-94, -128, 88, -21, -12], [-118, -128, 108, -18, -128]]
PREFIX = 20


def small_artifact() -> Artifact:
    rng = np.random.default_rng(2108)
    layers = (conv2d(rng, "conv", (3, 2, 3, 3)), MaxPool2d("pool"), linear(rng, "fc", (5, 12)))
    network = Network("tiny", (2, 6, 6), 1 / 128, 0.125, layers)
    return Artifact(compile_network(network, get_config("small")), {"source": "random weights", "accuracy": 0.5})


def golden_input() -> np.ndarray:
    return (np.arange(2 * 2 * 6 * 6) * 37 % 256 - 128).astype(np.int8).reshape(2, 2, 6, 6)


@pytest.fixture(scope="module")
def content() -> bytes:
    return small_artifact().to_bytes()


@pytest.fixture
def load(tmp_path):
    """Load bytes through a file."""

    def loads(data: bytes) -> Artifact:
        path = tmp_path / "x.hrz"
        path.write_bytes(data)
        return Artifact.load(path)

    return loads


def split(data: bytes) -> tuple[dict, bytes]:
    """Header and sections."""
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[PREFIX : PREFIX + length]), data[PREFIX + length :]


def join(header: object, sections: bytes, version: int = CONTAINER_VERSION) -> bytes:
    """A file with right checksums of its own around whatever header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    prefix = struct.pack("<8sII", MAGIC, version, len(text))
    return prefix + struct.pack("<I", zlib.crc32(prefix + text)) + text + sections


class TestRoundTrip:
    def test_everything_comes_back(self, content, load):
        artifact, loaded = small_artifact(), load(content)
        assert loaded.image == artifact.image
        assert loaded.meta == artifact.meta
        assert loaded.config == get_config("small")
        assert loaded.to_bytes() == content

    def test_save_leaves_one_file(self, tmp_path, content):
        path = tmp_path / "a.hrz"
        path.write_bytes(b"old")
        small_artifact().save(path)
        assert path.read_bytes() == content
        assert [file.name for file in tmp_path.iterdir()] == ["a.hrz"]

    def test_failed_save_keeps_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "a.hrz"
        path.write_bytes(b"old")

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", fail)
        with pytest.raises(DataError, match=r"a\.hrz cannot be written: No space left"):
            small_artifact().save(path)
        assert path.read_bytes() == b"old"
        assert [file.name for file in tmp_path.iterdir()] == ["a.hrz"]

    def test_save_into_nowhere(self, tmp_path):
        with pytest.raises(DataError, match="cannot be written: No such file"):
            small_artifact().save(tmp_path / "none" / "a.hrz")

    @pytest.mark.parametrize("meta", [{"a": float("nan")}, {"a": b"bytes"}, {"a": {1, 2}}])
    def test_meta_must_be_json(self, meta):
        with pytest.raises(FormatError, match="not JSON"):
            Artifact(small_artifact().image, meta).to_bytes()

    def test_meta_has_a_limit(self):
        with pytest.raises(FormatError, match="exceeds"):
            Artifact(small_artifact().image, {"a": "x" * MAX_HEADER_BYTES}).to_bytes()


class TestGolden:
    def test_bytes_are_a_promise(self):
        data = GOLDEN.read_bytes()
        assert hashlib.sha256(data).hexdigest() == GOLDEN_SHA256
        assert Artifact.load(GOLDEN).to_bytes() == data

    def test_it_runs(self):
        artifact = Artifact.load(GOLDEN)
        with open_device("model", artifact.config) as device, Session(device, artifact) as session:
            assert session.run(golden_input()).outputs.tolist() == GOLDEN_OUTPUT


class TestDamage:
    def test_every_flipped_byte(self, content, load):
        for position in range(len(content)):
            damaged = bytearray(content)
            damaged[position] ^= 1 << position % 8
            with pytest.raises(FormatError) as caught:
                load(bytes(damaged))
            assert "\n" not in str(caught.value)

    def test_every_truncation(self, content, load):
        for length in [*range(100), *range(100, len(content), 7)]:
            with pytest.raises(FormatError):
                load(content[:length])

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_any_edit(self, content, load, data):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 64)))
        new = data.draw(st.binary(max_size=64))
        edited = content[:start] + new + content[end:]
        if edited == content:
            return
        with pytest.raises(FormatError):
            load(edited)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, load, data, magic):
        with pytest.raises(FormatError):
            load(MAGIC * magic + data)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda data: b"", "not a headrace artifact"),
            (lambda data: b"PK\x03\x04" + data, "not a headrace artifact"),
            (lambda data: data[:10], "truncated: the file ends within its first fields"),
            (lambda data: data[:400], "truncated: 400 bytes, the header alone needs"),
            (lambda data: data[:-1], "truncated: 1 of .* section bytes are missing"),
            (lambda data: data + b"\0", "corrupted: 1 bytes follow the last section"),
            (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "corrupted section 'blob': checksum does not match"),
            (lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], "corrupted header: checksum does not match"),
            (lambda data: data[:8] + b"\3" + data[9:], "container version 3, this headrace reads versions 1 and 2"),
            (lambda data: data[:12] + b"\xff" * 4 + data[16:], "corrupted header: 4294967295 bytes"),
        ],
    )
    def test_messages(self, content, load, make, message):
        with pytest.raises(FormatError, match=rf"x\.hrz: {message}"):
            load(make(content))

    def test_no_file(self, tmp_path):
        with pytest.raises(FormatError, match=r"none\.hrz: cannot be read: No such file"):
            Artifact.load(tmp_path / "none.hrz")


class TestForgery:
    """Files whose checksums are right."""

    @pytest.mark.parametrize(
        "text",
        [b"", b"[]", b"{", b"\xff", b'{"a": NaN}', b'{"a": -1e999}', b"[" * 100_000, b"1" * 10_000, b"null"],
        ids=["empty", "array", "cut", "latin", "nan", "infinity", "deep", "long", "null"],
    )
    def test_header_that_is_no_object(self, load, text):
        with pytest.raises(FormatError, match=r"corrupted header|instruction set"):
            load(join(text, b""))

    @pytest.mark.parametrize("key", ["isa", "image", "meta", "sections"])
    @pytest.mark.parametrize("value", [None, 7, "x", [], [1], {}])
    def test_header_fields(self, content, load, key, value):
        header, sections = split(content)
        if key == "meta" and value == {}:
            return
        with pytest.raises(FormatError):
            load(join(header | {key: value}, sections))

    def test_numbers_are_finite(self, content, load):
        header, sections = split(content)
        header["meta"]["accuracy"] = 12345.5
        with pytest.raises(FormatError, match="corrupted header: 1e999 is not a finite number"):
            load(join(json.dumps(header).replace("12345.5", "1e999").encode(), sections))

    @pytest.mark.parametrize("key", ["name", "offset", "bytes", "crc32"])
    @pytest.mark.parametrize("value", [None, -1, 1 << 70, "other", True])
    def test_section_fields(self, content, load, key, value):
        header, sections = split(content)
        header["sections"][0][key] = value
        with pytest.raises(FormatError):
            load(join(header, sections))

    def test_section_twice(self, content, load):
        header, _ = split(content)
        entry = {"name": "blob", "offset": 0, "bytes": 0, "crc32": 0}
        with pytest.raises(FormatError, match="two sections 'blob'"):
            load(join(header | {"sections": [entry, entry]}, b""))

    @pytest.mark.parametrize("tensor", ["input", "output"])
    @pytest.mark.parametrize("key", ["channels", "height", "width", "base", "plane", "pitch", "row_phase", "order"])
    @pytest.mark.parametrize("value", [-1, 1 << 30, 1 << 70, "x", [1 << 70]])
    def test_placements(self, content, load, tensor, key, value):
        header, sections = split(content)
        assert key in header["image"][tensor]
        header["image"][tensor][key] = value
        if (key, value) == ("pitch", 1 << 30) and header["image"][tensor]["height"] == 1:
            return  # the pitch of a single row means nothing
        if key == "row_phase" and not header["image"][tensor]["split"] and type(value) is int:
            return  # nor does a phase, unless split
        with pytest.raises(FormatError):
            load(join(header, sections))

    def test_other_instruction_set(self, content, load):
        header, sections = split(content)
        with pytest.raises(FormatError, match="made for instruction set 99, this headrace has"):
            load(join(header | {"isa": 99}, sections))

    def test_other_config(self, content, load):
        header, sections = split(content)
        header["image"]["config"]["lanes"] = 4
        with pytest.raises(FormatError, match="config_hash"):
            load(join(header, sections))

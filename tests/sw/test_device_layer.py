"""LAYER descriptors on the model device: arithmetic, write-back, and every way in which a layer can be bad."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from device_programs import Error, LayerProgram, error_of, open_model
from headrace.config import Config, get_config
from headrace.differential import Walk
from headrace.isa import BEAT_BYTES, ErrorCode
from headrace.schedule import fresh_plan
from headrace.stream import Plan, RowPlan

SMALL = get_config("small")
TINY_MEMORY = Config("odd", lanes=3, pixels=4, x_words=32, acc_words=16)


def sparse(rng: np.random.Generator, shape: tuple[int, int], density: float) -> np.ndarray:
    return np.where(rng.random(shape) < density, rng.integers(-127, 128, shape), 0).astype(np.int8)


def activations(rng: np.random.Generator, config: Config) -> np.ndarray:
    return rng.integers(-128, 128, config.x_bytes, dtype=np.int8)


def check(layer: LayerProgram, x: np.ndarray) -> None:
    with open_model(layer.config) as device:
        result = layer.run(device, x)
        assert error_of(device).code is ErrorCode.NONE
        assert np.array_equal(result, layer.meaning(x))


def bad(layer: LayerProgram, **changes: int) -> Error:
    with open_model(layer.config) as device:
        layer.run(device, np.ones(8, np.int8), **changes)
        return error_of(device)


class TestMeaning:
    @pytest.mark.parametrize("seed", range(12))
    @pytest.mark.parametrize("maximum", [0, 1])
    def test_random_geometry(self, seed, maximum):
        rng = np.random.default_rng([seed, maximum])
        rows, channels, taps = (int(rng.integers(1, end)) for end in (7, 6, 4))
        pitch = int(rng.integers(1, 9))
        columns = int(rng.integers(1, pitch + 1))
        split = int(rng.integers(2))
        fields = {
            "words": int(rng.integers(1, 5)),
            "maximum": maximum,
            "split": split,
            "x_address": int(rng.integers(128)),
            "in_plane": int(rng.integers(1, 40)),
            "pitch": pitch,
            "out_columns": columns,
            "out_width": int(rng.integers(1, columns + 1)),
            "out_height": int(rng.integers(1, 4)),
            "out_pitch": columns,
            "out_plane": 4 * columns,
            "row_phase": 2 * columns,
            "column_phase": columns,
            "clamp_low": int(rng.integers(-128, 1)),
            "clamp_high": int(rng.integers(0, 128)),
        }
        addresses = tuple(int(n) for n in rng.integers(0, 128, taps))
        weights = sparse(rng, (rows, taps * channels), rng.choice([0.1, 0.5, 1.0]))
        bias = tuple(int(n) for n in rng.integers(-300, 300, rows)) if seed % 2 else -300
        layer = LayerProgram(TINY_MEMORY, weights, addresses, None, bias, 77, 15, fields)
        check(layer, activations(rng, TINY_MEMORY))

    @pytest.mark.parametrize("seed", range(24))
    @pytest.mark.parametrize("maximum", [0, 1])
    def test_every_lane_reads_and_keeps_its_own(self, seed, maximum):
        rng = np.random.default_rng([seed, maximum, 1])
        config, taps, masks = Config("odd", lanes=3, pixels=4, x_words=512, acc_words=16), 3, 2
        phases, words, pitch = (int(rng.integers(1, end)) for end in (5, 5, 9))
        flat, split = ((1, 0), (0, 0), (0, 1))[seed % 3]
        columns = pitch if flat else int(rng.integers(1, pitch + 1))
        fields = {
            "words": words,
            "maximum": maximum,
            "flat": flat,
            "split": split,
            "phases": phases,
            "x_address": int(rng.integers(128)),
            "in_plane": int(rng.integers(1, 40)),
            "pitch": pitch,
            "out_columns": columns,
            "out_width": columns,
            "out_height": int(rng.integers(1, 12)),
            "out_pitch": columns,
            "out_plane": 32 * columns,
            "row_phase": 16 * columns,
            "column_phase": 8 * columns,
        }
        reach = tuple(
            (int(rng.integers(masks + 1)), int(rng.integers(-20, 20)), int(rng.integers(40))) for _ in range(taps)
        )
        layer = LayerProgram(
            config,
            sparse(rng, (5, taps * 4), rng.choice([0.1, 0.5, 1.0])),
            tuple(int(n) for n in rng.integers(0, 128, taps)),
            None,
            -300,
            77,
            15,
            fields,
            reach,
            tuple(int(n) for n in rng.integers(0, 1 << config.pixels, masks * phases)),
            tuple(int(n) for n in rng.choice([0, 0, 2, 5], config.lanes)),
            tuple((int(rng.integers(-7, 7)), int(rng.integers(1, 19))) for _ in range(config.lanes)),
        )
        x = rng.integers(-128, 128, (config.lanes, config.x_bytes), dtype=np.int8)
        with open_model(config) as device:
            result = layer.run_lanes(device, x)
            assert error_of(device).code is ErrorCode.NONE
            assert np.array_equal(result, layer.meaning_lanes(x))

    @pytest.mark.parametrize("maximum", [0, 1])
    def test_addresses_wrap(self, maximum):
        rng = np.random.default_rng(2)
        weights = np.array([[3, 0, -2]], np.int8)
        layer = LayerProgram(TINY_MEMORY, weights, (126,), fields={"maximum": maximum, "x_address": 127})
        check(layer, activations(rng, TINY_MEMORY))

    @pytest.mark.parametrize("bits", [16, 17, 24])
    @pytest.mark.parametrize("sign", [-1, 1])
    def test_accumulators_wrap(self, bits, sign):
        config = Config("narrow", lanes=1, pixels=2, x_words=64, acc_words=8, acc_bits=bits)
        weights = np.full((2, 20), 127 * sign, np.int8)
        layer = LayerProgram(config, weights, multiplier=3, shift=11)
        check(layer, np.full(64, 127, np.int8))

    def test_large_sums_are_exact(self):
        """Every bit of sums beyond a float32's: 16 bits of accumulator bring the low ones to the output."""
        config = Config("narrow", lanes=2, pixels=4, x_words=1024, acc_words=8, acc_bits=16)
        weights = np.full((3, 3000), 127, np.int8)
        weights[:, 7] = [-1, 0, 1]
        low = (2999 * 127 * 127 + (1 << 15)) % (1 << 16) - (1 << 15)
        layer = LayerProgram(config, weights, bias=-low, multiplier=2)
        x = np.full(config.x_bytes, 127, np.int8)
        with open_model(config) as device:
            result = layer.run(device, x)
        assert result[:12:4].tolist() == [127 * int(weights[row, 7]) for row in layer.encoded.order]
        assert np.array_equal(result, layer.meaning(x))

    def test_maximum_of_negative_values_is_negative(self):
        layer = LayerProgram(SMALL, np.ones((1, 2), np.int8), multiplier=2, fields={"maximum": 1})
        with open_model(SMALL) as device:
            result = layer.run(device, np.array([-5, -4, -9, -7, -100], np.int8), x_address=16)
        assert result[16:20].tolist() == [-4, -4, -7, -7]

    def test_maximum_goes_on_from_a_slot(self):
        plan = ((RowPlan(0), RowPlan(1, 0, 0, 1), RowPlan(2, 0, 0, 2)), ())
        weights = np.array([[0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1]], np.int8)
        layer = LayerProgram(SMALL, weights, plan=plan, multiplier=2, fields={"maximum": 1})
        check(layer, np.array([-9, -5, -3, -7, 4, 6, -8, 1], np.int8))

    @pytest.mark.parametrize("words", [1, 3])
    def test_differential_rows(self, words):
        rng = np.random.default_rng(words)
        base = sparse(rng, (1, 30), 0.5)
        weights = np.repeat(base, 6, axis=0)
        weights[np.arange(6), np.arange(6)] = rng.integers(-128, 128, 6)
        plan = (
            (RowPlan(2), RowPlan(0, 2, 0, 1), RowPlan(1, 0, 1, 1), RowPlan(5, 2, 0, 7), RowPlan(4, 5, 7, 0)),
            (RowPlan(3),),
        )
        fields = {"words": words, "x_address": 512}
        check(LayerProgram(SMALL, weights, (4,), plan, 10, 40, 11, fields), activations(rng, SMALL))

    @pytest.mark.parametrize("seed", range(16))
    def test_gathered_rows(self, seed):
        """Rows from zero and differential ones, empty ones and lanes without rows; all lanes write all words."""
        rng = np.random.default_rng([seed, 3])
        config = Config("odd", lanes=3, pixels=int(rng.choice([4, 8])), x_words=64, acc_words=16)
        count = int(rng.choice(range(1, config.pixels + 1)))
        weights = sparse(rng, (2 * count * int(rng.integers(1, 5)), 20), rng.choice([0.05, 0.3]))
        weights[len(weights) // 2 :] = weights[: len(weights) // 2]
        plan = together(config, weights, seed % 2, count)
        layer = LayerProgram(config, weights, (int(rng.integers(32)),), plan, **gathering(count))
        layer.descriptor["pitch"] = config.pixels
        x = rng.integers(-128, 128, (config.lanes, config.x_bytes), dtype=np.int8)
        with open_model(config) as device:
            result = layer.run_lanes(device, x)
            assert error_of(device).code is ErrorCode.NONE
            assert np.array_equal(result, layer.meaning_lanes(x))

    @pytest.mark.parametrize("pixels", [1, 2, 8])
    def test_totals(self, pixels):
        """Sums over all pixels of a word, of which some do not count; the other pixels are results of 0."""
        rng = np.random.default_rng([pixels, 4])
        config = Config("odd", lanes=3, pixels=pixels, x_words=64, acc_words=16, acc_bits=16)
        weights = sparse(rng, (7, 12), 0.5)
        weights[3] = 0
        fields = {"total": 1, "x_address": 32}
        reach = ((0, 0, pixels), (0, -1, 3))
        layer = LayerProgram(config, weights, (0, 8), bias=-3, multiplier=5, shift=9, fields=fields, reach=reach)
        check(layer, activations(rng, config))

    def test_differential_row_goes_through_the_wrapped_sum(self):
        config = Config("narrow", lanes=1, pixels=1, x_words=64, acc_words=8, acc_bits=16)
        weights = np.array([[127] * 5, [127, 127, 1, 0, 0]], np.int8)
        plan = ((RowPlan(0), RowPlan(1, 0, 0, 1)),)
        check(LayerProgram(config, weights, (0,), plan, multiplier=1, shift=9), np.full(8, 127, np.int8))

    def test_activations_outlive_the_run(self):
        layer = LayerProgram(SMALL, np.eye(2, 3, dtype=np.int8))
        with open_model(SMALL) as device:
            layer.run(device, np.arange(8, dtype=np.int8), x_address=4096)
            assert device.machine.x[:, 4096:4100].view(np.int8).tolist() == [[0, 1, 1, 2]] * SMALL.lanes


def gathering(rows: int) -> dict[str, Any]:
    fields = {"gathered": rows, "x_address": 96, "out_columns": rows, "out_width": rows, "out_plane": 1}
    return {"bias": -3, "multiplier": 5, "shift": 4, "fields": fields}


def together(config: Config, weights: np.ndarray, differential: int, rows: int) -> Plan:
    if differential:
        return Walk(weights, 1, 4).cut(config.lanes, rows)
    return fresh_plan(weights, config.lanes, 1, None, rows)


class TestFaults:
    WEIGHTS = np.array([[1, 0, 5, 0, 2, 3], [0, 7, 0, 0, 0, 9], [4, 0, 0, 1, 0, 6]], np.int8)

    def layer(self) -> LayerProgram:
        return LayerProgram(SMALL, self.WEIGHTS, (0, 1), bias=(1, 2, 3))

    @pytest.mark.parametrize(
        "changes",
        [
            {"taps": 0},
            {"taps": SMALL.taps + 1},
            {"taps": 1},
            {"in_channels": 0},
            {"out_channels": 0},
            {"out_channels": SMALL.channels + 1},
            {"out_channels": 4},
            {"uniform": 1},
            {"symbol_beats": SMALL.symbols // 2 + 1},
            {"symbol_beats": 0},
            {"code_tables": 0},
            {"code_tables": 2},
            {"code_tables": SMALL.code_tables + 1},
            {"symbol_beats": 2},
            {"mask_beats": 1},
            {"mask_beats": SMALL.masks + 1},
            {"phases": 0},
            {"words": 0},
            {"words": SMALL.acc_words + 1},
            {"pitch": 0},
            {"clamp_low": 3, "clamp_high": 2},
            {"beats": 1},
            {"address": 4},
        ],
        ids=str,
    )
    def test_bad_descriptor(self, changes):
        assert bad(self.layer(), **changes) == Error(ErrorCode.BAD_DESCRIPTOR, 255, 5, 1)

    def test_tables_outside_memory(self):
        assert bad(self.layer(), address=1 << 24) == Error(ErrorCode.AXI_READ, 255, 5, 1)

    def test_signature(self):
        assert bad(self.layer(), signature=1) == Error(ErrorCode.SIGNATURE, 255, 5, 1)

    def test_position_past_the_row(self):
        error = bad(self.layer(), in_channels=2)
        assert (error.code, error.layer) == (ErrorCode.BAD_POSITION, 5)
        assert error.lane in range(SMALL.lanes)

    @pytest.mark.parametrize("lane", range(SMALL.lanes))
    def test_underrun(self, lane):
        layer = self.layer()
        self.patch(layer, lane * BEAT_BYTES + 4, bytes(4))  # beats of the lane's stream
        assert bad(layer) == Error(ErrorCode.UNDERRUN, lane, 5, 1)

    def test_more_rows_than_bits(self):
        layer = self.layer()
        self.patch(layer, (SMALL.lanes + 1) * BEAT_BYTES, b"\xff\xff")
        assert bad(layer) == Error(ErrorCode.UNDERRUN, 1, 5, 1)

    def test_no_codeword(self):
        layer = LayerProgram(SMALL, np.zeros((3, 4), np.int8))  # a single codeword: 0
        layer.streams = layer.streams[:8] + b"\xff" + layer.streams[9:]
        assert bad(layer) == Error(ErrorCode.BAD_SYMBOL, 1, 5, 1)

    def test_code_that_is_none(self):
        layer = self.layer()
        self.patch(layer, (3 * SMALL.lanes + 11) * BEAT_BYTES, b"\x00\x08")
        assert bad(layer) == Error(ErrorCode.BAD_SYMBOL, 255, 5, 1)
        assert bad(layer, signature=0) == Error(ErrorCode.SIGNATURE, 255, 5, 1)

    @pytest.mark.parametrize(("field", "code"), [(0, ErrorCode.AXI_READ), (4, ErrorCode.AXI_READ)])
    def test_stream_outside_memory(self, field, code):
        layer = self.layer()
        self.patch(layer, field, b"\x00\x00\x00\x01")
        assert bad(layer).code is code

    def test_unaligned_stream(self):
        layer = self.layer()
        self.patch(layer, BEAT_BYTES, b"\x01")
        assert bad(layer) == Error(ErrorCode.BAD_DESCRIPTOR, 1, 5, 1)

    def test_row_without_channel(self):
        layer = self.layer()
        self.patch(layer, SMALL.lanes * BEAT_BYTES + 2, b"\x03")  # lane 0's first channel
        assert bad(layer) == Error(ErrorCode.BAD_DESCRIPTOR, 255, 5, 1)

    @pytest.mark.parametrize(
        "changes",
        [
            {"uniform": 0, "beats": None},
            {"maximum": 1},
            {"words": 2},
            {"out_columns": 5},
            {"gathered": 5},
            {"gathered": 15},
        ],
        ids=str,
    )
    def test_what_cannot_be_gathered(self, changes):
        weights = np.eye(8, dtype=np.int8)
        layer = LayerProgram(SMALL, weights, (0,), together(SMALL, weights, 0, 4), **gathering(4))
        if "beats" in changes:
            changes = changes | {"beats": layer.descriptor["beats"] + 7}
        assert bad(layer, **changes) == Error(ErrorCode.BAD_DESCRIPTOR, 255, 5, 1)

    @pytest.mark.parametrize("changes", [{"maximum": 1}, {"words": 2}, {"gathered": 1}], ids=str)
    def test_what_has_no_totals(self, changes):
        layer = LayerProgram(SMALL, np.eye(4, dtype=np.int8), fields={"total": 1})
        assert bad(layer, **changes) == Error(ErrorCode.BAD_DESCRIPTOR, 255, 5, 1)

    def test_gathered_rows_that_fill_no_word(self):
        layer = LayerProgram(
            SMALL,
            np.eye(8, dtype=np.int8),
            (0,),
            ((*map(RowPlan, range(5)),), (*map(RowPlan, range(5, 8)),)),
            **gathering(4),
        )
        assert bad(layer) == Error(ErrorCode.BAD_DESCRIPTOR, 255, 5, 1)

    def test_words_too_narrow_to_gather(self):
        config = Config("narrow", lanes=1, pixels=2, x_words=64)
        layer = LayerProgram(config, np.eye(4, dtype=np.int8), **gathering(1))
        assert bad(layer) == Error(ErrorCode.BAD_DESCRIPTOR, 255, 5, 1)

    def test_mask_that_is_none(self):
        layer = LayerProgram(SMALL, self.WEIGHTS, (0, 1), reach=((0, 0, 9), (2, 0, 9)), mask_table=(1,))
        assert bad(layer).code is ErrorCode.BAD_DESCRIPTOR

    def test_shift_of_zero(self):
        layer = LayerProgram(SMALL, self.WEIGHTS, (0, 1))
        self.patch(layer, len(layer.tables) - 2, b"\x00")
        assert bad(layer).code is ErrorCode.BAD_DESCRIPTOR

    @pytest.mark.parametrize("bit", range(8))
    def test_any_flipped_bit_of_tables_and_streams_is_found(self, bit):
        layer = self.layer()
        tables, streams = layer.tables, layer.streams
        with open_model(SMALL) as device:
            signature = self.signature(layer)
            layer.run(device, np.ones(8, np.int8))
            assert error_of(device).code is ErrorCode.NONE
            for byte in range(len(tables) + len(streams)):
                content = bytearray(tables + streams)
                content[byte] ^= 1 << bit
                layer.tables, layer.streams = bytes(content[: len(tables)]), bytes(content[len(tables) :])
                layer.run(device, np.ones(8, np.int8), signature=signature)
                assert error_of(device).code is not ErrorCode.NONE, f"byte {byte}"

    @staticmethod
    def signature(layer: LayerProgram) -> int:
        return int(np.bitwise_xor.reduce(np.frombuffer(layer.tables + layer.streams, "<u8")))

    @staticmethod
    def patch(layer: LayerProgram, at: int, value: bytes) -> None:
        layer.tables = layer.tables[:at] + value + layer.tables[at + len(value) :]

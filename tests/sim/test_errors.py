"""Every error, at seeded points of a program: its code, lane, layer and descriptor, and a right result right after it.

The device is reset once, at the beginning; the program runs well between any two errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from headrace.isa import DESCRIPTOR_BYTES, LANE_ROWS, NOBODY, ErrorCode
from headrace_sim.simulator import FaultKind
from random_layers import CONFIGS
from sim.places import Outcome, Place, faults_of
from sim.rig import CYCLES, DATA, PROGRAM, TWO_PORTS, Break, Rig, at

pytestmark = pytest.mark.slow
RIGS = {config.name: config for config in (TWO_PORTS, CONFIGS["r4x4"])}
MEMORIES: dict[str, dict[str, float]] = {"calm": {"latency": 3}, "moody": {"stall": 0.5, "latency": 30, "seed": 5}}
POINTS = 16


def one(outcome: Outcome) -> frozenset[Outcome]:
    return frozenset({outcome})


def bad_pointer(rig: Rig, rng: np.random.Generator) -> Break:
    outcome = Outcome(False, ErrorCode.BAD_POINTER, NOBODY, NOBODY, 0)
    return Break(one(outcome), program=PROGRAM + int(rng.integers(1, 8)))


def bad_descriptor(rig: Rig, rng: np.random.Generator) -> Break:
    """Any of the program's, with an opcode that there is none of."""
    number = int(rng.integers(len(rig.image.program)))
    place = Place(rig.image, number, rig.image.program[number]["layer"], rig.config.lanes)
    return Break(one(at(ErrorCode.BAD_DESCRIPTOR, place)), blob=place.with_fields(opcode=int(rng.integers(4, 256))))


def read_error_of_a_descriptor(rig: Rig, rng: np.random.Generator) -> Break:
    number = int(rng.integers(len(rig.image.program)))
    first = PROGRAM + DESCRIPTOR_BYTES * number + 8 * int(rng.integers(8))
    outcome = Outcome(False, ErrorCode.AXI_READ, NOBODY, NOBODY, number)
    return Break(one(outcome), fault=(FaultKind.READ_ERROR, first, first + 8))


def read_error_of_a_table(rig: Rig, rng: np.random.Generator) -> Break:
    place = rng.choice(np.array(rig.places, object))
    first = PROGRAM + place.tables + 8 * int(rng.integers(place.fields["beats"]))
    return Break(one(at(ErrorCode.AXI_READ, place)), fault=(FaultKind.READ_ERROR, first, first + 8))


def stream_of(rig: Rig, rng: np.random.Generator) -> tuple[Place, int, int, int]:
    """A layer, a lane of it that has a stream, the stream's place in the blob and its beats."""
    place = rng.choice(np.array(rig.places, object))
    lane = int(rng.choice([n for n in range(rig.config.lanes) if place.stream(n)[1]]))
    return place, lane, *place.stream(lane)


def read_error_of_a_stream(rig: Rig, rng: np.random.Generator) -> Break:
    """Over either port."""
    place, _, address, beats = stream_of(rig, rng)
    first = PROGRAM + address + 8 * int(rng.integers(beats))
    sharing = [n for n in range(rig.config.lanes) if place.stream(n) == (address, beats)]  # lanes of other strips
    outcomes = frozenset(at(ErrorCode.AXI_READ, place, n) for n in sharing)
    return Break(outcomes, fault=(FaultKind.READ_ERROR, first, first + 8))


def read_error_of_data(rig: Rig, rng: np.random.Generator) -> Break:
    loads = [(n, fields) for n, fields in enumerate(rig.image.program) if fields["opcode"] == 1]
    number, fields = loads[int(rng.integers(len(loads)))]
    first = DATA + fields["address"] + 8 * int(rng.integers(fields["beats"]))
    sharing = [(n, f) for n, f in loads if f["address"] <= first - DATA < f["address"] + 8 * f["beats"]]
    number, fields = sharing[0]
    outcome = Outcome(False, ErrorCode.AXI_READ, NOBODY, fields["layer"], number)
    return Break(one(outcome), fault=(FaultKind.READ_ERROR, first, first + 8))


def write_error(rig: Rig, rng: np.random.Generator) -> Break:
    stores = [(n, fields) for n, fields in enumerate(rig.image.program) if fields["opcode"] == 2]
    number, fields = stores[int(rng.integers(len(stores)))]
    first = DATA + fields["address"] + 8 * int(rng.integers(fields["beats"]))
    outcome = Outcome(False, ErrorCode.AXI_WRITE, NOBODY, fields["layer"], number)
    return Break(one(outcome), fault=(FaultKind.WRITE_ERROR, first, first + 8))


def bad_symbol(rig: Rig, rng: np.random.Generator) -> Break:
    """The lane starts in a code that the layer does not have."""
    places = [place for place in rig.places if place.fields["code_tables"] < 8]
    place = rng.choice(np.array(places, object))
    lane = int(rng.choice([n for n in range(rig.config.lanes) if place.stream(n)[1]]))
    entry = {**LANE_ROWS.unpack(place.beat(rig.config.lanes + lane)), "table": 7}
    blob = place.with_beat(rig.config.lanes + lane, LANE_ROWS.pack(entry))
    return Break(one(at(ErrorCode.BAD_SYMBOL, place, lane)), blob=blob)


def bad_position(rig: Rig, rng: np.random.Generator) -> Break:
    """Rows of half as many positions: some lane's run leads past them."""
    places = [place for place in rig.places if place.fields["in_channels"] > 1 and not place.fields["maximum"]]
    place = rng.choice(np.array(places, object))
    blob = place.with_fields(in_channels=place.fields["in_channels"] // 2)
    faults = faults_of(replace(place, image=replace(rig.image, blob=blob)), blob)
    assert ErrorCode.BAD_POSITION in faults.values()
    return Break(frozenset(at(code, place, lane) for lane, code in faults.items()), blob=blob)


def underrun(rig: Rig, rng: np.random.Generator) -> Break:
    place, lane, _, beats = stream_of(rig, rng)
    left = int(rng.integers(beats))
    blob = place.with_stream_beats(lane, left)
    faults = faults_of(place, blob, {lane: left})
    return Break(one(at(faults[lane], place, lane)), blob=blob)


def signature(rig: Rig, rng: np.random.Generator) -> Break:
    """A bit of a bias: nothing but the signature tells."""
    place = rng.choice(np.array(rig.places, object))
    channels = place.fields["out_channels"]
    blob = bytearray(rig.image.blob)
    beat = place.fields["beats"] - channels + int(rng.integers(channels))
    blob[place.tables + 8 * beat] ^= 1 << int(rng.integers(8))
    return Break(one(at(ErrorCode.SIGNATURE, place)), blob=bytes(blob))


def watchdog(rig: Rig, rng: np.random.Generator) -> Break:
    """A piece of the program that is never read, or an output that is never written. What is missing for the next
    layer keeps what comes behind it at the same port, so that the present layer may be the one that gets no further.
    """
    code, kind = ErrorCode.WATCHDOG, FaultKind.READ_SILENCE
    what, limit = rng.choice(["descriptor", "table", "stream", "store"]), rig.cycles + 500
    index = int(rng.integers(len(rig.places)))
    place, before = rig.places[index], frozenset(at(code, p) for p in rig.places[max(index - 1, 0) : index])
    if what == "descriptor":
        number = int(rng.integers(len(rig.image.program)))
        first = PROGRAM + DESCRIPTOR_BYTES * number
        earlier = frozenset(at(code, p) for p in rig.places if p.descriptor == number - 1)
        outcomes = one(Outcome(False, code, NOBODY, NOBODY, number)) | earlier
    elif what == "table":
        first, outcomes = PROGRAM + place.tables, one(at(code, place)) | before
    elif what == "stream":
        lane = int(rng.choice([n for n in range(rig.config.lanes) if place.stream(n)[1]]))
        first, outcomes = PROGRAM + place.stream(lane)[0], one(at(code, place)) | before
    else:
        number = next(n for n, fields in enumerate(rig.image.program) if fields["opcode"] == 2)
        fields, kind = rig.image.program[number], FaultKind.WRITE_SILENCE
        first = DATA + fields["address"]
        outcomes = one(Outcome(False, code, NOBODY, fields["layer"], number))
    return Break(outcomes, fault=(kind, first, first + 8), watchdog=limit)


def aborted(rig: Rig, rng: np.random.Generator) -> Break:
    """At any time, often near the start or the end; the descriptor is one of the program's, and the layer is its. Near
    the end the program may be done before.
    """
    layers = {(fields["layer"], n) for n, fields in enumerate(rig.image.program)}
    layers |= {(NOBODY, n) for n in range(len(rig.image.program))}
    outcomes = frozenset(Outcome(False, ErrorCode.ABORTED, NOBODY, layer, n) for layer, n in layers)
    cycle = int(rng.choice([rng.integers(60), rng.integers(rig.cycles - 60), rig.cycles - rng.integers(60)]))
    done = frozenset({Outcome(True)} if cycle > rig.cycles - 300 else ())
    return Break(outcomes | done, abort=cycle)


KINDS: tuple[Callable[[Rig, np.random.Generator], Break], ...] = (
    *(bad_pointer, bad_descriptor, read_error_of_a_descriptor, read_error_of_a_table, read_error_of_a_stream),
    *(read_error_of_data, write_error, bad_symbol, bad_position, underrun, signature, watchdog, aborted),
)


@pytest.fixture(scope="module", params=[(name, mood) for name in RIGS for mood in MEMORIES], ids=" ".join)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    name, mood = request.param
    made = Rig(RIGS[name], **MEMORIES[mood])
    yield made
    made.device.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_named_and_the_next_run_is_right(rig: Rig, kind: Callable[..., Break]) -> None:
    rng = np.random.default_rng([17, KINDS.index(kind)])
    for _ in range(POINTS):
        broken = kind(rig, rng)
        outcome = rig.run_badly(broken)
        assert outcome in broken.expected, f"{outcome}, not {sorted(map(str, broken.expected))}"
        rig.run_well()


def test_all_errors_occur(rig: Rig) -> None:
    """All but the one that means none."""
    rng = np.random.default_rng(23)
    seen = {outcome.code for kind in KINDS for _ in range(4) for outcome in kind(rig, rng).expected if not outcome.done}
    assert seen == set(ErrorCode) - {ErrorCode.NONE}
    assert 10 * rig.cycles < CYCLES

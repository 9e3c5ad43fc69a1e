// Decoding of lane streams, and products straight from them.
//
// Two lanes are decoded side by side in one loop, so that the latency of one hides behind the other. Bits are taken as in
// variant 4 of Giesen, "Reading bits in far too many ways" (2018): a marker bit tells how many of a word are used up.
//
// Bounds are looked at after every few symbols, not at each. So the caller leaves room: PADDING zero bytes after each
// stream, ROOM elements after inputs, rows and numbers. Whatever is read or written there belongs to a lane that then
// reports an error.

#include "kernels.h"

#include <cstdint>
#include <cstring>

namespace {

constexpr int WINDOW = 12;
constexpr int LITERAL = 22;
constexpr int SYMBOLS_PER_REFILL = 4;  // of at most 12 bits each, from 56 bits or more
static_assert(PADDING >= SYMBOLS_PER_REFILL * (WINDOW + LITERAL) / 8 + 2 * 8, "reads would leave the padding");
static_assert(ROOM >= SYMBOLS_PER_REFILL * 256, "positions would leave the room");

// A table entry: bits of the codeword (0..5), kind (6..7), then a tap's run (8..15) and value (16..31), or the bits of an
// end of row (8..).
enum Kind : uint32_t { TAP = 0, END = 1, ESCAPE = 2, NONE = 3 };
constexpr uint32_t LENGTH = 63, KIND_SHIFT = 6, KIND = 3u << KIND_SHIFT;

enum Status : int32_t {
    OK = 0, BAD_SYMBOL = 5, BAD_POSITION = 6, UNDERRUN = 7, TRAILING = 100, EMPTY_SLOT = 101, BAD_WEIGHT = 102
};

struct Lane {
    const uint8_t* next;   // where `bits` was loaded from
    const uint8_t* start;
    const uint8_t* end;    // of the stream, before its padding
    const uint32_t* table;
    uint64_t bits;         // 63 - n bits of the stream, the first one highest, then a one and n zeros
    int64_t row, rows, position;
    int number;
    int target;
    uint32_t held;         // slots that hold a row
    int32_t status;
};

inline uint64_t load(const uint8_t* p) {
    uint64_t word;
    std::memcpy(&word, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

inline int64_t total(const Lane& lane) { return 8 * (lane.end - lane.start); }
inline int64_t consumed(const Lane& lane) { return 8 * (lane.next - lane.start) + __builtin_ctzll(lane.bits); }

inline void refill(const uint8_t*& next, uint64_t& bits) {
    const int used = __builtin_ctzll(bits);
    next += used >> 3;
    bits = (load(next) | 1) << (used & 7);
}

inline void fail(Lane& lane, int32_t status) { lane.status = consumed(lane) > total(lane) ? int32_t(UNDERRUN) : status; }

// The end of a row, and the start of the next; false when the lane is done or has failed.
template <class Sink>
inline bool end_row(Lane& lane, Sink& sink, typename Sink::Cursor& cursor, int64_t position, int64_t positions,
                    uint32_t header) {
    if (__builtin_expect(position > positions, 0)) {
        fail(lane, BAD_POSITION);
        return false;
    }
    sink.finish(cursor, lane.number, lane.row, lane.target);
    lane.held |= 1u << lane.target;
    lane.row++;
    if (__builtin_expect(lane.row == lane.rows, 0)) return false;
    const int target = header & 7, source = header >> 3 & 7;
    const bool differential = header >> 6 & 1;
    if (__builtin_expect(differential && !(lane.held >> source & 1), 0)) {
        fail(lane, EMPTY_SLOT);
        return false;
    }
    lane.target = target;
    cursor = sink.begin(lane.number, lane.row, source, target, differential);
    return true;
}

// What follows an escape; false when the lane is done or has failed. Leaves a whole window.
template <class Sink>
__attribute__((noinline)) bool literal(Lane& lane, Sink& sink, typename Sink::Cursor& cursor, const uint32_t* tables,
                                       int table_count, int64_t positions) {
    refill(lane.next, lane.bits);
    const uint32_t word = uint32_t(lane.bits >> (64 - LITERAL));
    lane.bits <<= LITERAL;
    if (word >> 21) {
        const int next = word >> 7 & 7;
        lane.table = tables + (size_t(next < table_count ? next : table_count) << WINDOW);
        const bool goes_on = end_row(lane, sink, cursor, lane.position, positions, word);
        lane.position = 0;
        return goes_on;
    }
    const int64_t position = lane.position + (word >> 9 & 4095);
    if (position >= positions) {
        fail(lane, BAD_POSITION);
        return false;
    }
    sink.tap(cursor, position, int32_t(word << 23) >> 23);
    lane.position = position + 1;
    return true;
}

// Decodes GROUP lanes side by side until one of them is done or has failed; that one's place in the group.
template <int GROUP, class Sink>
inline int decode(Lane* const* group, Sink& sink, typename Sink::Cursor* cursors, const uint32_t* tables, int table_count,
                  int64_t positions) {
    const uint8_t* next[GROUP];
    const uint32_t* table[GROUP];
    uint64_t bits[GROUP];
    int64_t position[GROUP];
    typename Sink::Cursor cursor[GROUP];
    for (int g = 0; g < GROUP; g++) {
        next[g] = group[g]->next;
        table[g] = group[g]->table;
        bits[g] = group[g]->bits;
        position[g] = group[g]->position;
        cursor[g] = cursors[g];
    }
    int stopped = -1;
    while (stopped < 0) {
#pragma GCC unroll 8
        for (int g = 0; g < GROUP; g++) {  // first: the last round may have been cut short by another lane
            if (__builtin_expect(position[g] > positions || next[g] > group[g]->end, 0)) {
                Lane& lane = *group[g];
                lane.next = next[g];
                lane.bits = bits[g];
                fail(lane, next[g] > lane.end ? UNDERRUN : BAD_POSITION);
                stopped = g;
                goto out;
            }
        }
#pragma GCC unroll 8
        for (int g = 0; g < GROUP; g++) refill(next[g], bits[g]);
#pragma GCC unroll 8
        for (int n = 0; n < SYMBOLS_PER_REFILL; n++) {
#pragma GCC unroll 8
            for (int g = 0; g < GROUP; g++) {
                const uint32_t entry = table[g][bits[g] >> (64 - WINDOW)];
                bits[g] <<= entry & LENGTH;
                if (__builtin_expect((entry & KIND) == 0, 1)) {
                    position[g] += entry >> 8 & 255;
                    sink.tap(cursor[g], position[g], int32_t(entry) >> 16);
                    position[g]++;
                    continue;
                }
                Lane& lane = *group[g];
                lane.next = next[g];
                lane.bits = bits[g];
                if (__builtin_expect((entry & KIND) == END << KIND_SHIFT, 1)) {
                    if (__builtin_expect(!end_row(lane, sink, cursor[g], position[g], positions, entry >> 8), 0)) {
                        stopped = g;
                        goto out;
                    }
                    position[g] = 0;
                    continue;
                }
                lane.position = position[g];
                bool goes_on = false;
                if ((entry & KIND) == ESCAPE << KIND_SHIFT && position[g] <= positions) {
                    goes_on = literal(lane, sink, cursor[g], tables, table_count, positions);
                } else {
                    lane.bits <<= (entry & KIND) == NONE << KIND_SHIFT;  // a bit of it is there, or there is none
                    fail(lane, position[g] > positions ? BAD_POSITION : BAD_SYMBOL);
                }
                if (!goes_on) {
                    stopped = g;
                    goto out;
                }
                refill(lane.next, lane.bits);
                next[g] = lane.next;
                bits[g] = lane.bits;
                table[g] = lane.table;
                position[g] = lane.position;
            }
        }
    }
out:
    for (int g = 0; g < GROUP; g++) {
        if (g != stopped) {
            group[g]->next = next[g];
            group[g]->bits = bits[g];
            group[g]->position = position[g];
            group[g]->table = table[g];
        }
        cursors[g] = cursor[g];
    }
    return stopped;
}

constexpr int GROUP = 2;  // lanes side by side: what the registers of most processors hold

template <class Sink>
inline void run(const Input& in, Sink& sink, int32_t* status, int64_t* position_of) {
    Lane lanes[MAX_LANES];
    Lane* group[GROUP];
    typename Sink::Cursor cursors[GROUP];
    int waiting = 0, count = 0;
    for (int n = 0; n < in.lanes; n++) {
        Lane& lane = lanes[n];
        const int table = in.tables[n];
        lane.start = lane.next = in.data + in.offsets[n];
        lane.end = lane.start + in.sizes[n];
        lane.table = in.entries + (size_t(table >= 0 && table < in.table_count ? table : in.table_count) << WINDOW);
        lane.bits = load(lane.next) | 1;
        lane.row = lane.position = 0;
        lane.rows = in.rows[n];
        lane.number = n;
        lane.target = 0;
        lane.held = 0;
        lane.status = OK;
    }
    while (true) {
        for (; count < GROUP && waiting < in.lanes; waiting++) {
            if (lanes[waiting].rows <= 0) continue;
            cursors[count] = sink.begin(waiting, 0, 0, 0, false);
            group[count++] = &lanes[waiting];
        }
        if (count == 0) break;
        int place = 0;
        if (count == GROUP) {
            place = decode<GROUP>(group, sink, cursors, in.entries, in.table_count, in.positions);
        } else {
            place = decode<1>(group, sink, cursors, in.entries, in.table_count, in.positions);
        }
        count--;
        group[place] = group[count];
        cursors[place] = cursors[count];
    }
    for (int n = 0; n < in.lanes; n++) {
        Lane& lane = lanes[n];
        const int64_t spare = total(lane) - consumed(lane);
        if (lane.status == OK && spare < 0) lane.status = UNDERRUN;
        if (lane.status == OK && spare >= 64) lane.status = TRAILING;
        if (lane.status == OK && spare > 0 && (load(lane.end - 8) & (~uint64_t(0) >> (64 - spare)))) lane.status = TRAILING;
        status[n] = lane.status;
        position_of[n] = consumed(lane);
    }
}

// A sink takes what lanes decode, through a cursor that holds the state of a lane's present row.

// Decoding to (position, value) pairs; the start of a row, but for a lane's first, is a pair too: 0x8000 and its header.
struct Pairs {
    uint32_t* out[MAX_LANES];
    struct Cursor {
        uint32_t* out;
    };
    inline void tap(Cursor& cursor, int64_t position, int32_t value) {
        *cursor.out++ = uint32_t(position) << 16 | uint16_t(value);
    }
    inline void finish(Cursor& cursor, int lane, int64_t, int) { out[lane] = cursor.out; }
    inline Cursor begin(int lane, int64_t, int source, int target, bool differential) {
        *out[lane] = 0x8000u | uint32_t(target | source << 3 | differential << 6);
        return {out[lane] + 1};
    }
};

// Decoding to rows of a matrix.
struct Rows {
    int16_t* out;
    int64_t positions;
    const int64_t* order[MAX_LANES];
    int64_t slot[MAX_LANES][SLOTS];
    int32_t outside[MAX_LANES] = {};  // not 0 where a weight left int16
    struct Cursor {
        int16_t* row;
        int32_t outside;
    };
    inline void tap(Cursor& cursor, int64_t position, int32_t value) {
        const int32_t sum = cursor.row[position] + value;
        cursor.row[position] = int16_t(sum);
        cursor.outside |= sum ^ int16_t(sum);
    }
    inline void finish(Cursor& cursor, int lane, int64_t number, int target) {
        slot[lane][target] = order[lane][number];
        outside[lane] |= cursor.outside;
    }
    inline Cursor begin(int lane, int64_t number, int source, int, bool differential) {
        int16_t* row = out + order[lane][number] * positions;
        if (differential) {
            std::memcpy(row, out + slot[lane][source] * positions, size_t(positions) * 2);
        } else {
            std::memset(row, 0, size_t(positions) * 2);
        }
        return {row, 0};
    }
};

// x^T W in integers, one input.
struct IntegerProduct {
    const int32_t* x;
    int64_t* y;
    const int64_t* order[MAX_LANES];
    int64_t slot[MAX_LANES][SLOTS];
    struct Cursor {
        int64_t sum;
    };
    inline void tap(Cursor& cursor, int64_t position, int32_t value) { cursor.sum += int64_t(value) * x[position]; }
    inline void finish(Cursor& cursor, int lane, int64_t number, int target) {
        y[order[lane][number]] = slot[lane][target] = cursor.sum;
    }
    inline Cursor begin(int lane, int64_t, int source, int, bool differential) {
        return {differential ? slot[lane][source] : 0};
    }
};

// x^T W in float32 through a codebook, BATCH inputs: each slot keeps its row's numbers in the codebook. `read_again` says of
// each row whether another starts from it; one that is not leaves no numbers behind.
enum class Number : uint8_t {};  // unlike uint8_t it aliases nothing else

template <int BATCH>
struct FloatProduct {
    const float* x;        // (positions, BATCH)
    const float* centres;  // 256
    float* y;              // (rows, BATCH)
    Number* numbers;       // (lanes, SLOTS + 2, stride): the slots', those of a row from zero, and some that nobody reads
    const uint8_t* read_again;
    int64_t stride, positions;
    const int64_t* order[MAX_LANES];
    float slot[MAX_LANES][SLOTS][BATCH];
    struct Cursor {
        const Number* before;  // numbers of the row that this one starts from
        Number* after;         // where this row's go
        float sum[BATCH];
    };
    inline void tap(Cursor& cursor, int64_t position, int32_t value) {
        const uint8_t old = uint8_t(cursor.before[position]), number = uint8_t(old + value);
        cursor.after[position] = Number(number);
        const float change = centres[number] - centres[old];
        for (int b = 0; b < BATCH; b++) cursor.sum[b] += change * x[position * BATCH + b];
    }
    inline void finish(Cursor& cursor, int lane, int64_t number, int target) {
        float* out = y + order[lane][number] * BATCH;
        for (int b = 0; b < BATCH; b++) out[b] = slot[lane][target][b] = cursor.sum[b];
    }
    inline Cursor begin(int lane, int64_t number, int source, int target, bool differential) {
        Cursor cursor;
        Number* held = numbers + int64_t(lane) * (SLOTS + 2) * stride;
        for (int b = 0; b < BATCH; b++) cursor.sum[b] = differential ? slot[lane][source][b] : 0;
        cursor.before = held + (differential ? source : SLOTS) * stride;
        if (read_again[order[lane][number]]) {
            cursor.after = held + target * stride;
            if (cursor.before != cursor.after) std::memcpy(cursor.after, cursor.before, size_t(positions));
        } else {
            cursor.after = held + (SLOTS + 1) * stride;
        }
        return cursor;
    }
};

// The same where the codebook's steps are equal: a difference of numbers is one of values.
template <int BATCH>
struct SteppedProduct {
    const float* x;
    float* y;
    float step;
    const int64_t* order[MAX_LANES];
    float slot[MAX_LANES][SLOTS][BATCH];
    struct Cursor {
        float sum[BATCH];
    };
    inline void tap(Cursor& cursor, int64_t position, int32_t value) {
        for (int b = 0; b < BATCH; b++) cursor.sum[b] += float(value) * x[position * BATCH + b];
    }
    inline void finish(Cursor& cursor, int lane, int64_t number, int target) {
        float* out = y + order[lane][number] * BATCH;
        for (int b = 0; b < BATCH; b++) {
            slot[lane][target][b] = cursor.sum[b];
            out[b] = step * cursor.sum[b];
        }
    }
    inline Cursor begin(int lane, int64_t, int source, int, bool differential) {
        Cursor cursor;
        for (int b = 0; b < BATCH; b++) cursor.sum[b] = differential ? slot[lane][source][b] : 0;
        return cursor;
    }
};

template <class Sink>
inline void place(Sink& sink, const Input& in) {
    const int64_t* next = in.order;
    for (int n = 0; n < in.lanes; n++) {
        sink.order[n] = next;
        next += in.rows[n];
    }
}

template <int BATCH>
void float_product(const Input& in, const float* x, const float* centres, const uint8_t* read_again, uint8_t* numbers,
                   int64_t stride, float* y, int32_t* status, int64_t* at) {
    FloatProduct<BATCH> sink;
    sink.x = x;
    sink.centres = centres;
    sink.y = y;
    sink.numbers = reinterpret_cast<Number*>(numbers);
    sink.read_again = read_again;
    sink.stride = stride;
    sink.positions = in.positions;
    place(sink, in);
    run(in, sink, status, at);
}

template <int BATCH>
void stepped_product(const Input& in, const float* x, float step, float* y, int32_t* status, int64_t* at) {
    SteppedProduct<BATCH> sink;
    sink.x = x;
    sink.y = y;
    sink.step = step;
    place(sink, in);
    run(in, sink, status, at);
}

}  // namespace

extern "C" {

void hr_stream_pairs(const Input* in, uint32_t* out, const int64_t* starts, int64_t* counts, int32_t* status, int64_t* at) {
    Pairs sink;
    for (int n = 0; n < in->lanes; n++) sink.out[n] = out + starts[n];
    run(*in, sink, status, at);
    for (int n = 0; n < in->lanes; n++) counts[n] = sink.out[n] - (out + starts[n]);
}

void hr_stream_rows(const Input* in, int16_t* out, int32_t* status, int64_t* at) {
    Rows sink;
    sink.out = out;
    sink.positions = in->positions;
    place(sink, *in);
    run(*in, sink, status, at);
    for (int n = 0; n < in->lanes; n++) {
        if (status[n] != OK) return;  // such a lane may have written into the rows of others
    }
    for (int n = 0; n < in->lanes; n++) {
        if (sink.outside[n]) status[n] = BAD_WEIGHT;
    }
}

void hr_stream_integer(const Input* in, const int32_t* x, int64_t* y, int32_t* status, int64_t* at) {
    IntegerProduct sink;
    sink.x = x;
    sink.y = y;
    place(sink, *in);
    run(*in, sink, status, at);
}

// batch: 1, 4, 8 or 16.
int hr_stream_float(const Input* in, int batch, const float* x, const float* centres, const uint8_t* read_again,
                    uint8_t* numbers, int64_t stride, float* y, int32_t* status, int64_t* at) {
    switch (batch) {
        case 1: float_product<1>(*in, x, centres, read_again, numbers, stride, y, status, at); return 0;
        case 4: float_product<4>(*in, x, centres, read_again, numbers, stride, y, status, at); return 0;
        case 8: float_product<8>(*in, x, centres, read_again, numbers, stride, y, status, at); return 0;
        case 16: float_product<16>(*in, x, centres, read_again, numbers, stride, y, status, at); return 0;
        default: return 1;
    }
}

int hr_stream_stepped(const Input* in, int batch, const float* x, float step, float* y, int32_t* status, int64_t* at) {
    switch (batch) {
        case 1: stepped_product<1>(*in, x, step, y, status, at); return 0;
        case 4: stepped_product<4>(*in, x, step, y, status, at); return 0;
        case 8: stepped_product<8>(*in, x, step, y, status, at); return 0;
        case 16: stepped_product<16>(*in, x, step, y, status, at); return 0;
        default: return 1;
    }
}

}  // extern "C"

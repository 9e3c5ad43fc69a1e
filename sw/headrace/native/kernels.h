// What the kernels take, and the room that they need. The Python wrappers fill these in.

#pragma once

#include <cstdint>

constexpr int PADDING = 64;    // zero bytes after each lane's stream, or after the words of a coder
constexpr int ROOM = 4 * 256;  // elements after inputs, rows and numbers
constexpr int SLOTS = 8;
constexpr int MAX_LANES = 64;

// The lanes of a layer, or some of them.
struct Input {
    const uint8_t* data;      // all lanes' streams, each followed by PADDING zero bytes
    const int64_t* offsets;   // of each lane's stream
    const int64_t* sizes;     // bytes of each
    const int64_t* rows;
    const int32_t* tables;    // first table of each lane
    const uint32_t* entries;  // (table_count + 1) * 4096, the last table without codewords
    const int64_t* order;     // where each row, lane by lane, goes in the result
    int32_t lanes, table_count;
    int64_t positions;
};

// A canonical code over the values of a matrix.
struct Book {
    const uint32_t* table;   // 4096: bits (0..5) and rank (6..31) of the codeword that a window begins with; 0: longer
    const uint64_t* limits;  // (33): for each length, the first 32-bit window that no codeword of it or shorter begins;
                             // the first is not 0 where there are codewords of more than 12 bits
    const int64_t* bases;    // (33): rank of a codeword of each length, less its value
    int64_t values;
};

// Its codewords.
struct Words {
    const uint8_t* data;  // big-endian, followed by PADDING zero bytes
    int64_t bytes;        // without them
    int64_t word_bytes;   // of each word: the last one is filled up with zeros
};

extern "C" {

void hr_stream_pairs(const Input* in, uint32_t* out, const int64_t* starts, int64_t* counts, int32_t* status, int64_t* at);
void hr_stream_rows(const Input* in, int16_t* out, int32_t* status, int64_t* at);
void hr_stream_integer(const Input* in, const int32_t* x, int64_t* y, int32_t* status, int64_t* at);
int hr_stream_float(const Input* in, int batch, const float* x, const float* centres, const uint8_t* read_again,
                    uint8_t* numbers, int64_t stride, float* y, int32_t* status, int64_t* at);
int hr_stream_stepped(const Input* in, int batch, const float* x, float step, float* y, int32_t* status, int64_t* at);

int64_t hr_decode_ranks(const Book* book, const Words* words, int64_t count, uint32_t* ranks);
int64_t hr_hac_product(const Book* book, const Words* words, int64_t n, int64_t m, const float* values, const float* x,
                       float* y);
int64_t hr_shac_product(const Book* book, const Words* words, int64_t m, const int64_t* counts, const uint32_t* rows,
                        const float* values, const float* x, float* y);

}  // extern "C"

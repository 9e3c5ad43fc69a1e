// HAC and sHAC: decoding, and products straight from the codewords. One stream of codewords, as the formats have it.

#include "kernels.h"

#include <cstdint>
#include <cstring>

namespace {

constexpr int WINDOW = 12;
constexpr int64_t GOES_ON = -1;

struct Reader {
    const uint8_t* next;
    const uint8_t* end;  // of the words; zeros follow
    uint64_t bits;

    inline void open(const Words& words) {
        next = words.data;
        end = words.data + words.bytes;
        bits = load() | 1;
    }
    inline uint64_t load() const {
        uint64_t word;
        std::memcpy(&word, next, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        return word;
    }
    // 56 bits or more; false past the end.
    inline bool refill() {
        const int used = __builtin_ctzll(bits);
        next += used >> 3;
        if (__builtin_expect(next > end, 0)) return false;
        bits = (load() | 1) << (used & 7);
        return true;
    }
    // The next rank, -1 where there is none.
    inline int64_t rank(const Book& book) {
        const uint32_t entry = book.table[bits >> (64 - WINDOW)];
        if (__builtin_expect(entry != 0, 1)) {
            bits <<= entry & 63;
            return entry >> 6;
        }
        const uint64_t window = bits >> 32;
        for (int length = WINDOW + 1; length <= 32; length++) {
            if (window < book.limits[length]) {
                bits <<= length;
                return int64_t(window >> (32 - length)) + book.bases[length];
            }
        }
        return -1;
    }
    // What a kernel returns after the last of `count` codewords.
    int64_t finish(int64_t count, int64_t word_bytes) const {
        const int used = __builtin_ctzll(bits);
        const int64_t spare = 8 * (end - next) - used;
        if (spare < 0) return count - 1;
        if (spare >= 8 * word_bytes) return GOES_ON;
        const uint8_t* rest = next + (used >> 3);
        if (rest == end) return count;
        unsigned set = uint8_t(*rest << (used & 7));
        while (++rest < end) set |= *rest;
        return set ? GOES_ON : count;
    }
};

template <class Take>
inline int64_t all(const Book& book, const Words& words, int64_t count, Take take) {
    Reader reader;
    reader.open(words);
    for (int64_t k = 0; k < count; k++) {
        if ((k & 3) == 0 || book.limits[0]) {  // four short codewords fit one refill
            if (!reader.refill()) return k;
        }
        const int64_t rank = reader.rank(book);
        if (__builtin_expect(rank < 0 || rank >= book.values, 0)) return k;
        take(k, rank);
    }
    return reader.finish(count, words.word_bytes);
}

}  // namespace

extern "C" {

// All return the number of codewords decoded: fewer than there should be where the words are damaged, -1 where more follows
// the last one than the zeros that fill its word.

int64_t hr_decode_ranks(const Book* book, const Words* words, int64_t count, uint32_t* ranks) {
    return all(*book, *words, count, [&](int64_t k, int64_t rank) { ranks[k] = uint32_t(rank); });
}

// y (m) = x^T W of n x m entries, column by column.
int64_t hr_hac_product(const Book* book, const Words* words, int64_t n, int64_t m, const float* values, const float* x,
                       float* y) {
    Reader reader;
    reader.open(*words);
    const bool longer = book->limits[0] != 0;
    for (int64_t column = 0; column < m; column++) {
        float sum = 0;
        for (int64_t row = 0; row < n; row++) {
            if ((row & 3) == 0 || longer) {
                if (!reader.refill()) return column * n + row;
            }
            const int64_t rank = reader.rank(*book);
            if (__builtin_expect(rank < 0 || rank >= book->values, 0)) return column * n + row;
            sum += values[rank] * x[row];
        }
        y[column] = sum;
    }
    return reader.finish(n * m, words->word_bytes);
}

// The same from nonzeros: their rows, and how many there are in each column.
int64_t hr_shac_product(const Book* book, const Words* words, int64_t m, const int64_t* counts, const uint32_t* rows,
                        const float* values, const float* x, float* y) {
    Reader reader;
    reader.open(*words);
    const bool longer = book->limits[0] != 0;
    int64_t k = 0;
    for (int64_t column = 0; column < m; column++) {
        float sum = 0;
        for (int64_t left = 0; left < counts[column]; left++, k++) {
            if ((left & 3) == 0 || longer) {
                if (!reader.refill()) return k;
            }
            const int64_t rank = reader.rank(*book);
            if (__builtin_expect(rank < 0 || rank >= book->values, 0)) return k;
            sum += values[rank] * x[rows[k]];
        }
        y[column] = sum;
    }
    return reader.finish(k, words->word_bytes);
}

// What an int8 network does without compression: y (m) = W x, W (m, n), sums of 32 bits. x is widened by the caller.
#if defined(__x86_64__) && defined(__gnu_linux__)
__attribute__((target_clones("avx2", "default")))
#endif
void hr_dense_int8(const int8_t* W, int64_t m, int64_t n, const int16_t* x, int32_t* y) {
    for (int64_t row = 0; row < m; row++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < n; k++) sum += int32_t(int16_t(W[row * n + k])) * x[k];
        y[row] = sum;
    }
}

}  // extern "C"

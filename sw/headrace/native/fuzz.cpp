// Random codes, streams and words through every kernel; scripts/fuzz_native builds it with AddressSanitizer and UBSan. Every
// buffer is as large as the kernels ask for and not a byte more. Arguments: seed, executions.

#include "kernels.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace {

struct Random {
    uint64_t state;
    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state * 0x2545F4914F6CDD1Dull >> 11;
    }
    int below(int limit) { return int(next() % uint64_t(limit)); }
    bool once_in(int n) { return below(n) == 0; }
};

// An allocation of exactly that many elements, so that the sanitizer sees whatever goes past it.
template <class T>
struct Exact {
    std::unique_ptr<T[]> data;
    int64_t size;
    explicit Exact(int64_t count, T fill = T()) : data(new T[size_t(count)]), size(count) {
        for (int64_t i = 0; i < count; i++) data[size_t(i)] = fill;
    }
    T* get() { return data.get(); }
    T& operator[](int64_t i) { return data[size_t(i)]; }
};

constexpr int32_t BAD_WEIGHT = 102;  // as in stream.cpp
constexpr uint32_t END = 1u << 6, ESCAPE = 2u << 6, NONE = 3u << 6;

struct Code {
    std::vector<int> lengths;
    std::vector<uint32_t> codewords, entries;
};

// A canonical code, complete or not, of at most 12 bits, over random taps and ends of row.
Code random_code(Random& random, uint32_t* table) {
    Code code;
    for (int w = 0; w < 4096; w++) table[w] = NONE;
    const bool escape = random.once_in(2);
    uint32_t window = 0;
    int length = 1 + random.below(4);
    while (window < 4096) {
        while (length < 12 && (random.once_in(3) || window % (4096u >> length))) length++;
        const uint32_t span = 4096u >> length;
        if (window + span > 4096) break;
        const bool last = window + span == 4096 || random.once_in(60);
        uint32_t entry = random.once_in(4) ? END | uint32_t(random.below(1024)) << 8
                                           : uint32_t(random.once_in(9) ? random.below(256) : random.below(8)) << 8 |
                                                 uint32_t(uint16_t(random.below(512) - 256)) << 16;
        if (last && escape) entry = ESCAPE;
        code.lengths.push_back(length);
        code.codewords.push_back(window >> (12 - length));
        code.entries.push_back(entry);
        for (uint32_t w = window; w < window + span; w++) table[w] = entry | uint32_t(length);
        window += span;
        if (last) break;
    }
    return code;
}

struct Bits {
    std::vector<uint8_t> bytes;
    int used = 0;
    void put(uint32_t value, int count) {
        for (int n = count - 1; n >= 0; n--) {
            if (used % 8 == 0) bytes.push_back(0);
            bytes.back() = uint8_t(bytes.back() | (value >> n & 1) << (7 - used % 8));
            used++;
        }
    }
};

// A stream of whole codewords, then damaged; or any bits.
std::vector<uint8_t> random_stream(Random& random, const std::vector<Code>& codes, int table, int rows) {
    Bits bits;
    if (random.once_in(6)) {
        const int size = random.below(40);
        for (int n = 0; n < size; n++) bits.put(uint32_t(random.below(256)), 8);
    } else {
        int ends = 0;
        for (int n = 0; n < 400 && ends < rows && table < int(codes.size()); n++) {
            const Code& code = codes[size_t(table)];
            if (code.entries.empty()) break;
            const size_t pick = size_t(random.below(int(code.entries.size())));
            bits.put(code.codewords[pick], code.lengths[pick]);
            const uint32_t entry = code.entries[pick];
            if (entry == ESCAPE) {
                const uint32_t literal = uint32_t(random.below(1 << 22)) & (random.once_in(2) ? 0x3FFFFFu : 0x3E0FFFu);
                bits.put(literal, 22);
                if (literal >> 21) {
                    ends++;
                    table = int(literal >> 7 & 7);
                }
            } else {
                ends += (entry & END) != 0;
            }
        }
    }
    bits.bytes.resize((bits.bytes.size() + 7) / 8 * 8);
    while (!bits.bytes.empty() && random.once_in(3)) {
        bits.bytes[size_t(random.below(int(bits.bytes.size())))] ^= uint8_t(1 << random.below(8));
    }
    if (random.once_in(8) && bits.bytes.size() >= 8) bits.bytes.resize(bits.bytes.size() - 8);
    if (random.once_in(16)) bits.bytes.resize(bits.bytes.size() + 8);
    return bits.bytes;
}

void must(bool condition, const char* what) {
    if (!condition) {
        std::fprintf(stderr, "finding: %s\n", what);
        std::abort();
    }
}

int streams(Random& random) {
    const int table_count = 1 + random.below(3), lanes = 1 + random.below(4);
    const int64_t positions = 1 + random.below(random.once_in(4) ? 5000 : 60);
    Exact<uint32_t> entries((table_count + 1) * 4096, NONE);
    std::vector<Code> codes;
    for (int t = 0; t < table_count; t++) codes.push_back(random_code(random, entries.get() + t * 4096));

    Exact<int64_t> offsets(lanes), sizes(lanes), rows(lanes), starts(lanes), counts(lanes), at(lanes);
    Exact<int32_t> tables(lanes), status(lanes), again(lanes);
    std::vector<uint8_t> all;
    int64_t total = 0, symbols = 0;
    for (int n = 0; n < lanes; n++) {
        rows[n] = random.below(12);
        tables[n] = random.below(table_count + (random.once_in(8) ? 2 : 0));
        const std::vector<uint8_t> stream = random_stream(random, codes, tables[n], int(rows[n]));
        offsets[n] = int64_t(all.size());
        sizes[n] = int64_t(stream.size());
        all.insert(all.end(), stream.begin(), stream.end());
        all.resize(all.size() + PADDING);
        starts[n] = symbols;
        symbols += 8 * (sizes[n] + PADDING) + 1;
        total += rows[n];
    }
    Exact<uint8_t> data(int64_t(all.size()));
    std::memcpy(data.get(), all.data(), all.size());
    Exact<int64_t> order(total);
    for (int64_t n = 0; n < total; n++) order[n] = total - 1 - n;
    const Input in{data.get(),  offsets.get(), sizes.get(), rows.get(),  tables.get(), entries.get(),
                   order.get(), lanes,         table_count, positions};

    Exact<uint32_t> out(symbols);
    hr_stream_pairs(&in, out.get(), starts.get(), counts.get(), status.get(), at.get());
    bool good = true;
    for (int n = 0; n < lanes; n++) good = good && status[n] == 0;

    Exact<int16_t> weights(total * positions + ROOM);
    hr_stream_rows(&in, weights.get(), again.get(), at.get());
    bool fits = true;
    for (int n = 0; n < lanes; n++) {
        fits = fits && again[n] != BAD_WEIGHT;
        must(status[n] == again[n] || (good && again[n] == BAD_WEIGHT), "rows and pairs differ in status");
    }
    good = good && fits;

    Exact<int32_t> x(positions + ROOM);
    for (int64_t p = 0; p < positions; p++) x[p] = random.below(255) - 127;
    Exact<int64_t> y(total);
    hr_stream_integer(&in, x.get(), y.get(), again.get(), at.get());
    must(!std::memcmp(status.get(), again.get(), size_t(lanes) * 4), "product and pairs differ in status");
    if (good) {
        for (int64_t r = 0; r < total; r++) {
            int64_t sum = 0;
            bool wrapped = false;
            for (int64_t p = 0; p < positions; p++) {
                const int64_t w = weights[r * positions + p];
                wrapped = wrapped || w > 30000 || w < -30000;
                sum += w * x[p];
            }
            must(wrapped || sum == y[r], "integer product");
        }
    }

    static const int BATCHES[] = {1, 4, 8, 16};
    const int batch = BATCHES[random.below(4)];
    Exact<float> xs((positions + ROOM) * batch), ys(total * batch), centres(256);
    for (int64_t p = 0; p < positions * batch; p++) xs[p] = float(random.below(9) - 4);
    for (int n = 0; n < 256; n++) centres[n] = float(n);
    must(hr_stream_stepped(&in, batch, xs.get(), 0.5f, ys.get(), again.get(), at.get()) == 0, "batch");
    must(!std::memcmp(status.get(), again.get(), size_t(lanes) * 4), "stepped product and pairs differ in status");
    const int64_t stride = positions + ROOM;
    Exact<uint8_t> numbers(lanes * (SLOTS + 2) * stride, uint8_t(128)), read_again(total, uint8_t(1));
    Exact<float> zs(total * batch);
    must(hr_stream_float(&in, batch, xs.get(), centres.get(), read_again.get(), numbers.get(), stride, zs.get(),
                         again.get(), at.get()) == 0, "batch");
    must(!std::memcmp(status.get(), again.get(), size_t(lanes) * 4), "codebook product and pairs differ in status");
    if (good) {
        for (int64_t r = 0; r < total; r++) {
            bool wrapped = false;
            for (int64_t p = 0; p < positions; p++) {
                wrapped = wrapped || weights[r * positions + p] > 127 || weights[r * positions + p] < -128;
            }
            for (int b = 0; b < batch && !wrapped; b++) {
                must(std::fabs(2 * ys[r * batch + b] - zs[r * batch + b]) < 1, "float products differ");
            }
        }
    }
    return 5;
}

int words(Random& random) {
    const int64_t values = 1 + random.below(40), bytes = 4 * random.below(30), n = 1 + random.below(40), m = 1 + random.below(9);
    Exact<uint8_t> data(bytes + PADDING);
    for (int64_t i = 0; i < bytes; i++) data[i] = uint8_t(random.below(256));
    Exact<uint32_t> table(4096);
    Exact<uint64_t> limits(33);
    Exact<int64_t> bases(33);
    for (int w = 0; w < 4096; w++) {
        if (!random.once_in(5)) table[w] = uint32_t(1 + random.below(12)) | uint32_t(random.below(int(values) + 1)) << 6;
    }
    limits[0] = uint64_t(random.below(2));
    for (int length = 13; length <= 32; length++) {
        limits[length] = random.next() & 0xFFFFFFFFu;
        bases[length] = random.below(64) - int64_t(random.next() & 0xFFFFFFFFu);
    }
    const Book book{table.get(), limits.get(), bases.get(), values};
    const Words coded{data.get(), bytes, random.once_in(2) ? 4 : 8};
    Exact<uint32_t> ranks(n * m), rows(n * m);
    Exact<float> dictionary(values, 1.0f), x(n, 1.0f), y(m);
    Exact<int64_t> counts(m);
    int64_t nonzeros = 0;
    for (int64_t column = 0; column < m; column++) nonzeros += counts[column] = random.below(int(n) + 1);
    for (int64_t k = 0; k < n * m; k++) rows[k] = uint32_t(random.below(int(n)));
    const int64_t decoded = hr_decode_ranks(&book, &coded, n * m, ranks.get());
    must(decoded >= -1 && decoded <= n * m, "count of ranks");
    for (int64_t k = 0; k < decoded; k++) must(ranks[k] < values, "rank");
    must(hr_hac_product(&book, &coded, n, m, dictionary.get(), x.get(), y.get()) <= n * m, "HAC");
    must(hr_shac_product(&book, &coded, m, counts.get(), rows.get(), dictionary.get(), x.get(), y.get()) <=
             nonzeros, "sHAC");
    return 3;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) return 2;
    Random random{std::strtoull(arguments[1], nullptr, 10) * 0x9E3779B97F4A7C15ull + 1};
    const int64_t wanted = std::strtoll(arguments[2], nullptr, 10);
    const auto started = std::chrono::steady_clock::now();
    int64_t executions = 0;
    while (executions < wanted) executions += random.once_in(3) ? words(random) : streams(random);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    std::printf("%lld %.1f\n", (long long)executions, seconds);
}

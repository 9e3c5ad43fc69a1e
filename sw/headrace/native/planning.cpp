// The minimum spanning tree of rows under the number of entries that differ: Prim's algorithm, distances as needed.

#include <cstdint>

namespace {

// Number of elements that differ; whole blocks first, so that the compiler vectorises with narrow counters.
template <class T>
inline int64_t differing(const T* a, const T* b, int64_t size) {
    int64_t count = 0, k = 0;
    for (; k + 128 <= size; k += 128) {
        uint8_t block = 0;
        for (int i = 0; i < 128; i++) block = uint8_t(block + (a[k + i] != b[k + i]));
        count += block;
    }
    for (; k < size; k++) count += a[k] != b[k];
    return count;
}

template <class T>
int64_t grow(const T* rows, int64_t positions, int64_t* outside, int64_t count, int64_t* distance, int64_t* nearest,
             int64_t* parent, int64_t steps) {
    for (; steps > 0 && count > 0; steps--) {
        int64_t best = 0;
        for (int64_t i = 1; i < count; i++) {
            if (distance[i] < distance[best]) best = i;
        }
        const int64_t joined = outside[best];
        parent[joined] = nearest[best];
        count--;
        for (int64_t i = best; i < count; i++) {  // in order: ties go to the lowest number
            outside[i] = outside[i + 1];
            distance[i] = distance[i + 1];
            nearest[i] = nearest[i + 1];
        }
        const T* row = rows + joined * positions;
        for (int64_t i = 0; i < count; i++) {
            const int64_t between = differing(row, rows + outside[i] * positions, positions);
            if (between < distance[i]) {
                distance[i] = between;
                nearest[i] = joined;
            }
        }
    }
    return count;
}

}  // namespace

#if defined(__x86_64__) && defined(__gnu_linux__)
#define CLONES __attribute__((target_clones("avx2", "default"), flatten))
#else
#define CLONES
#endif

extern "C" {

// Adds up to `steps` rows to the tree; returns how many are outside then. Rows outside are listed in increasing order,
// each with its distance from the tree and the row of the tree that is nearest.
CLONES int64_t hr_grow_tree8(const int8_t* rows, int64_t positions, int64_t* outside, int64_t count, int64_t* distance,
                             int64_t* nearest, int64_t* parent, int64_t steps) {
    return grow(rows, positions, outside, count, distance, nearest, parent, steps);
}

CLONES int64_t hr_grow_tree16(const int16_t* rows, int64_t positions, int64_t* outside, int64_t count, int64_t* distance,
                              int64_t* nearest, int64_t* parent, int64_t steps) {
    return grow(rows, positions, outside, count, distance, nearest, parent, steps);
}

}  // extern "C"

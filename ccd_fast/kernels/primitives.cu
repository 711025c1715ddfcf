// What the kernels share: half precision, contiguous spans, reductions. No header is needed: NVRTC compiles the
// files of this folder as one text, and the tests compile the same text with the host's C++ compiler.
//
// Compiled without contraction into fused multiply-adds (--fmad=false), so that a sum of products is rounded as
// NumPy rounds it. A NaN is never dropped: `greater` and `smaller` give it on, as numpy.maximum and minimum do.

constexpr int WARP = 32;
constexpr unsigned EVERY_LANE = 0xffffffffu;

extern __shared__ float4 shared_memory[];  // float4: starts on 16 bytes

struct Half {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(float value) { return value; }

__device__ __forceinline__ float to_float(Half value) {
#ifdef HOST_SHIM
    return half_to_float(value.bits);
#else
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
#endif
}

// Four neighbours, moved with one instruction of 16 bytes (float) or 8 (half).
template <class T>
struct alignas(4 * sizeof(T)) Four {
    T at[4];
};

// How many elements a pointer is past the last boundary of a Four.
template <class T>
__device__ __forceinline__ int elements_past_boundary(const T* pointer) {
    return static_cast<int>(reinterpret_cast<size_t>(pointer) / sizeof(T) % 4);
}

// Copy `count` neighbours into shared memory, as float, by the `size` (at least 4) threads of a group. In `stage`
// (16-byte aligned, room for count + 3) they stand as far past a boundary as in the source, so that both sides move
// in Fours whatever the source's alignment: rows of 81 classes start anywhere.
template <class T>
__device__ float* load_span(const T* from, float* stage, int count, int rank, int size) {
    const int past = elements_past_boundary(from);
    float* to = stage + past;
    const int head = min((4 - past) % 4, count), fours = (count - head) / 4, tail = head + 4 * fours;
    if (rank < head) to[rank] = to_float(from[rank]);
    const Four<T>* const source = reinterpret_cast<const Four<T>*>(from + head);
    Four<float>* const target = reinterpret_cast<Four<float>*>(to + head);
#pragma unroll 4
    for (int k = rank; k < fours; k += size) {
        const Four<T> four = source[k];
        target[k] = {{to_float(four.at[0]), to_float(four.at[1]), to_float(four.at[2]), to_float(four.at[3])}};
    }
    if (tail + rank < count) to[tail + rank] = to_float(from[tail + rank]);
    return to;
}

// The way back, in Fours where both sides stand equally far past a boundary.
__device__ inline void store_span(const float* from, float* to, int count, int rank, int size) {
    const int past = elements_past_boundary(to);
    if (elements_past_boundary(from) != past) {
        for (int k = rank; k < count; k += size) to[k] = from[k];
        return;
    }
    const int head = min((4 - past) % 4, count), fours = (count - head) / 4, tail = head + 4 * fours;
    if (rank < head) to[rank] = from[rank];
    const Four<float>* const source = reinterpret_cast<const Four<float>*>(from + head);
    Four<float>* const target = reinterpret_cast<Four<float>*>(to + head);
#pragma unroll 4
    for (int k = rank; k < fours; k += size) target[k] = source[k];
    if (tail + rank < count) to[tail + rank] = from[tail + rank];
}

__device__ __forceinline__ float greater(float a, float b) { return a > b || a != a ? a : b; }

__device__ __forceinline__ float smaller(float a, float b) { return a < b || a != a ? a : b; }

// Combine the values of a warp; every lane gets the same bits.
template <class T, class Combine>
__device__ __forceinline__ T over_warp(T value, Combine combine) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) value = combine(value, value.partner(step));
    return value;
}

// Combine the values of a block in an order that depends on the block's size alone. `scratch` holds one T a warp.
template <class T, class Combine>
__device__ T over_block(T value, T* scratch, Combine combine) {
    value = over_warp(value, combine);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = value;
    __syncthreads();
    value = scratch[0];
    for (int warp = 1; warp < static_cast<int>(blockDim.x) / WARP; ++warp) value = combine(value, scratch[warp]);
    __syncthreads();  // before the scratch is used again
    return value;
}

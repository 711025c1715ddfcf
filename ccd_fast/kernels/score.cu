// Scores of teacher similarities, and what they add to the class bias (sections 1 and 2), in one launch.
//
// A row goes from memory to shared memory once, becomes a softmax there, and goes back once. Up to WARP_CLASSES a warp
// takes four rows at a time and a block adds up the bias of all its rows before it touches the global sums; beyond, a
// block takes a row. Which thread adds which score depends on C alone, so a row's bits do not depend on its place.
//
// The row of a NaN or of +inf becomes NaN and is not confident; a class of -inf has the score 0.

constexpr int ROWS_A_WARP = 4;
constexpr float FIXED_POINT = 4294967296.0f;
constexpr float LOWEST = -1000.0f;  // exp() of it is 0, and 0 * LOWEST is 0 where 0 * -inf would be NaN

using Integer = unsigned long long;  // the type of 64-bit atomics; sums are never negative

struct Top {  // the largest similarity; of equals, that of the lowest class
    float value;
    int index;
    __device__ Top partner(int step) const {
        return {__shfl_xor_sync(EVERY_LANE, value, step), __shfl_xor_sync(EVERY_LANE, index, step)};
    }
};

struct Sums {  // of exp(x) and of x exp(x)
    float total, weighted;
    __device__ Sums partner(int step) const {
        return {__shfl_xor_sync(EVERY_LANE, total, step), __shfl_xor_sync(EVERY_LANE, weighted, step)};
    }
};

__device__ __forceinline__ Top higher(Top a, Top b) {
    return a.value > b.value || (a.value == b.value && a.index < b.index) ? a : b;
}

__device__ __forceinline__ Sums both(Sums a, Sums b) { return {a.total + b.total, a.weighted + b.weighted}; }

struct WarpGroup {
    __device__ int rank() const { return threadIdx.x % WARP; }
    __device__ int size() const { return WARP; }
    __device__ Top highest(Top top) const { return over_warp(top, higher); }
    __device__ Sums sum(Sums sums) const { return over_warp(sums, both); }
};

struct BlockGroup {
    float2* scratch;  // one a warp
    __device__ int rank() const { return threadIdx.x; }
    __device__ int size() const { return blockDim.x; }
    __device__ Top highest(Top top) const { return over_block(top, reinterpret_cast<Top*>(scratch), higher); }
    __device__ Sums sum(Sums sums) const { return over_block(sums, reinterpret_cast<Sums*>(scratch), both); }
};

struct Scored {
    int top;
    float top_score, entropy;
};

// Turn a row of similarities in shared memory into scores, in place. Each thread touches only classes of its own.
template <class Group>
__device__ Scored softmax_in_place(float* row, int classes, const Group& group) {
    Top top = {-__int_as_float(0x7f800000), classes};
    for (int c = group.rank(); c < classes; c += group.size())
        if (row[c] > top.value) top = {row[c], c};
    top = group.highest(top);
    Sums sums = {0, 0};
    for (int c = group.rank(); c < classes; c += group.size()) {
        float shifted = row[c] - top.value;
        if (shifted < LOWEST) shifted = LOWEST;
        const float exponential = expf(shifted);
        row[c] = exponential;
        sums = both(sums, {exponential, exponential * shifted});
    }
    sums = group.sum(sums);
    for (int c = group.rank(); c < classes; c += group.size()) row[c] = row[c] / sums.total;
    // H = -sum p ln p = ln Z - sum p x
    return {top.index, 1 / sums.total, logf(sums.total) - sums.weighted / sums.total};
}

__device__ __forceinline__ Integer fixed_point(float score) {
    return static_cast<Integer>(llrintf(score * FIXED_POINT));
}

template <class T>
__device__ void score_by_warps(const T* similarities, long long rows, int classes, float max_entropy, float* scores,
                               bool* confident, Integer* bias_sums, Integer* bias_counts) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    const int stage_size = (ROWS_A_WARP * classes + 3 + 3) / 4 * 4;
    float* const stage = reinterpret_cast<float*>(shared_memory) + warp * stage_size;
    Integer* const own_sums = reinterpret_cast<Integer*>(reinterpret_cast<float*>(shared_memory) + warps * stage_size);
    Integer* const own_counts = own_sums + classes;
    for (int c = threadIdx.x; c < classes; c += blockDim.x) own_sums[c] = own_counts[c] = 0;
    __syncthreads();
    const long long stride = static_cast<long long>(gridDim.x) * warps * ROWS_A_WARP;
    for (long long first = (static_cast<long long>(blockIdx.x) * warps + warp) * ROWS_A_WARP; first < rows;
         first += stride) {
        const int here = static_cast<int>(min(rows - first, static_cast<long long>(ROWS_A_WARP)));
        float* const values = load_span(similarities + first * classes, stage, here * classes, lane, WARP);
        __syncwarp();
        for (int r = 0; r < here; ++r) {
            const Scored scored = softmax_in_place(values + r * classes, classes, WarpGroup());
            if (lane == 0) {
                const bool sure = scored.entropy <= max_entropy;
                confident[first + r] = sure;
                if (sure) {
                    atomicAdd(&own_sums[scored.top], fixed_point(scored.top_score));
                    atomicAdd(&own_counts[scored.top], Integer(1));
                }
            }
        }
        __syncwarp();
        store_span(values, scores + first * classes, here * classes, lane, WARP);
        __syncwarp();  // before the next rows overwrite these
    }
    __syncthreads();
    for (int c = threadIdx.x; c < classes; c += blockDim.x) {
        if (own_counts[c] == 0) continue;
        atomicAdd(&bias_sums[c], own_sums[c]);
        atomicAdd(&bias_counts[c], own_counts[c]);
    }
}

template <class T>
__device__ void score_by_blocks(const T* similarities, long long rows, int classes, float max_entropy, float* scores,
                                bool* confident, Integer* bias_sums, Integer* bias_counts) {
    const BlockGroup group = {reinterpret_cast<float2*>(shared_memory)};
    float* const stage = reinterpret_cast<float*>(shared_memory + WARP / 2);  // after 32 float2
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        float* const values = load_span(similarities + row * classes, stage, classes, group.rank(), group.size());
        __syncthreads();
        const Scored scored = softmax_in_place(values, classes, group);
        if (threadIdx.x == 0) {
            const bool sure = scored.entropy <= max_entropy;
            confident[row] = sure;
            if (sure) {
                atomicAdd(&bias_sums[scored.top], fixed_point(scored.top_score));
                atomicAdd(&bias_counts[scored.top], Integer(1));
            }
        }
        __syncthreads();
        store_span(values, scores + row * classes, classes, group.rank(), group.size());
        __syncthreads();  // before the next row overwrites this one
    }
}

#define SCORE(NAME, TYPE, BODY)                                                                                      \
    extern "C" __global__ void NAME(const TYPE* similarities, long long rows, int classes, float max_entropy,        \
                                    float* scores, bool* confident, Integer* bias_sums, Integer* bias_counts) {      \
        BODY(similarities, rows, classes, max_entropy, scores, confident, bias_sums, bias_counts);                   \
    }
SCORE(score_by_warps_float32, float, score_by_warps)
SCORE(score_by_warps_float16, Half, score_by_warps)
SCORE(score_by_blocks_float32, float, score_by_blocks)
SCORE(score_by_blocks_float16, Half, score_by_blocks)

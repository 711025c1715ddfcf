// The label update (section 4) in one launch, in place:
// y <- clip(ema * y + rest * max(max over the image's crops, floor) / bias, 0, 1), rest = 1 - ema.
//
// A warp takes 128 classes of an image; a lane keeps four of them in registers while it goes through the crops.
// Every class goes its own way, so both layouts below give the same bits. An image without crops keeps its labels,
// a NaN score gives a NaN label.

constexpr int CLASSES_A_LANE = 4;
constexpr int CLASSES_A_WARP = CLASSES_A_LANE * WARP;

// WIDE: a lane's classes are neighbours, moved as a Four (C a multiple of 4, aligned pointers). Otherwise they are
// 32 apart, so that the lanes of a warp read neighbours.
template <bool WIDE>
struct Columns {
    int first, classes;

    __device__ int at(int j) const { return WIDE ? first + j : first + j * WARP; }

    template <class T>
    __device__ Four<float> load(const T* row) const {
        Four<float> values = {{0, 0, 0, 0}};
        if (WIDE) {
            if (first < classes) {
                const Four<T> four = *reinterpret_cast<const Four<T>*>(row + first);
#pragma unroll
                for (int j = 0; j < 4; ++j) values.at[j] = to_float(four.at[j]);
            }
        } else {
#pragma unroll
            for (int j = 0; j < 4; ++j)
                if (at(j) < classes) values.at[j] = to_float(row[at(j)]);
        }
        return values;
    }

    __device__ void store(float* row, const Four<float>& values) const {
        if (WIDE) {
            if (first < classes) *reinterpret_cast<Four<float>*>(row + first) = values;
        } else {
#pragma unroll
            for (int j = 0; j < 4; ++j)
                if (at(j) < classes) row[at(j)] = values.at[j];
        }
    }
};

template <bool WIDE, class T>
__device__ void update(float* table, const long long* rows, const long long* offsets, long long images,
                       const T* crop_scores, const float* bias, int classes, float floor, float ema, float rest) {
    const int lane = threadIdx.x % WARP, parts = (classes + CLASSES_A_WARP - 1) / CLASSES_A_WARP;
    const long long warps = static_cast<long long>(gridDim.x) * (blockDim.x / WARP);
    const long long warp = static_cast<long long>(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP;
    for (long long task = warp; task < images * parts; task += warps) {
        const long long image = task / parts;
        const long long begin = offsets[image], end = offsets[image + 1];
        if (begin >= end) continue;
        const int start = static_cast<int>(task % parts) * CLASSES_A_WARP;
        const Columns<WIDE> columns = {start + (WIDE ? CLASSES_A_LANE * lane : lane), classes};
        float* const row = table + rows[image] * classes;
        Four<float> labels = columns.load(row);
        const Four<float> by = columns.load(bias);
        Four<float> best = columns.load(crop_scores + begin * classes);
#pragma unroll 4
        for (long long crop = begin + 1; crop < end; ++crop) {
            const Four<float> next = columns.load(crop_scores + crop * classes);
#pragma unroll
            for (int j = 0; j < 4; ++j) best.at[j] = greater(best.at[j], next.at[j]);
        }
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const float fresh = greater(best.at[j], floor) / by.at[j];
            const float label = ema * labels.at[j] + rest * fresh;
            labels.at[j] = label < 0 ? 0 : label > 1 ? 1 : label;
        }
        columns.store(row, labels);
    }
}

#define UPDATE(NAME, TYPE, WIDE)                                                                                      \
    extern "C" __global__ void NAME(float* table, const long long* rows, const long long* offsets, long long images, \
                                    const TYPE* crop_scores, const float* bias, int classes, float floor, float ema, \
                                    float rest) {                                                                    \
        update<WIDE>(table, rows, offsets, images, crop_scores, bias, classes, floor, ema, rest);                    \
    }
UPDATE(update_float32, float, false)
UPDATE(update_float16, Half, false)
UPDATE(update_wide_float32, float, true)
UPDATE(update_wide_float16, Half, true)

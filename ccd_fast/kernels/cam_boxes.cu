// The boxes of class activation maps (section 4): a block a map. The upsampled map is never in memory.
//
// Between neighbouring samples of the map the upsampled one is bilinear, and on a rectangle of pixels a bilinear
// function is largest and smallest in a corner. So minimum and maximum need only the first and last pixel of each
// cell along both axes, and whether a column (row) of the view is hot only the corner rows (columns): of S * S pixels
// some 2 S (h + w) are looked at. Positions are fractions of integers, rounded once: the same bits as the NumPy twin.

constexpr float FLAT = 1e-5f;

struct Place {  // of a pixel, between two samples of the map
    int low, high;
    float part;
};

// Where a pixel lies on an axis of `extent` samples and `size` pixels (align_corners = False).
__device__ __forceinline__ Place place_of(int pixel, int extent, int size) {
    const int position = max((2 * pixel + 1) * extent - size, 0);  // in units of 1 / (2 size) samples
    const int low = position / (2 * size);
    return {low, min(low + 1, extent - 1), static_cast<float>(position % (2 * size)) / static_cast<float>(2 * size)};
}

// The first pixel in cell `cell` or after it.
__device__ __forceinline__ int first_pixel(int cell, int extent, int size) {
    return cell == 0 ? 0 : max(((2 * cell + 1) * size - extent + 2 * extent - 1) / (2 * extent), 0);
}

// Corner k of 2 * extent: the first and the last pixel of each cell. An empty cell repeats those of its neighbours.
__device__ __forceinline__ int corner_pixel(int k, int extent, int size) {
    const int cell = k / 2;
    if (k % 2 == 0) return min(first_pixel(cell, extent, size), size - 1);
    return cell == extent - 1 ? size - 1 : max(first_pixel(cell + 1, extent, size) - 1, 0);
}

__device__ __forceinline__ float between(float a, float b, float part) { return a + part * (b - a); }

__device__ __forceinline__ float upsampled(const float* map, int width, const Place& row, const Place& column) {
    const float *upper = map + row.low * width, *lower = map + row.high * width;
    return between(between(upper[column.low], lower[column.low], row.part),
                   between(upper[column.high], lower[column.high], row.part), column.part);
}

struct Range {
    float low, high;
    __device__ Range partner(int step) const {
        return {__shfl_xor_sync(EVERY_LANE, low, step), __shfl_xor_sync(EVERY_LANE, high, step)};
    }
};

__device__ __forceinline__ Range enclosing(Range a, Range b) {
    return {smaller(a.low, b.low), greater(a.high, b.high)};
}

template <class T>
__device__ void cam_boxes(const T* maps, int height, int width, int size, float threshold, int grow, long long* boxes) {
    Range* const scratch = reinterpret_cast<Range*>(shared_memory);  // one a warp, at most 32
    int* const box = reinterpret_cast<int*>(scratch + WARP);         // x0, y0, x1, y1
    Place* const rows = reinterpret_cast<Place*>(box + 4);
    Place* const columns = rows + 2 * height;
    const int before_stage = WARP * sizeof(Range) + 4 * sizeof(int) + 2 * (height + width) * sizeof(Place);
    float* const stage = reinterpret_cast<float*>(shared_memory + (before_stage + 15) / 16);
    const int thread = threadIdx.x, threads = blockDim.x;

    const T* const source = maps + static_cast<long long>(blockIdx.x) * height * width;
    const float* const map = load_span(source, stage, height * width, thread, threads);
    for (int k = thread; k < 2 * height; k += threads) rows[k] = place_of(corner_pixel(k, height, size), height, size);
    for (int k = thread; k < 2 * width; k += threads) columns[k] = place_of(corner_pixel(k, width, size), width, size);
    if (thread < 4) box[thread] = thread < 2 ? size : 0;
    __syncthreads();

    const float first = upsampled(map, width, rows[0], columns[0]);
    Range range = {first, first};
    for (int k = thread; k < 4 * height * width; k += threads) {
        const float value = upsampled(map, width, rows[k / (2 * width)], columns[k % (2 * width)]);
        range = enclosing(range, {value, value});
    }
    range = over_block(range, scratch, enclosing);
    const float span = range.high - range.low + FLAT;

    for (int pixel = thread; pixel < 2 * size; pixel += threads) {  // the view's columns, then its rows
        const bool is_row = pixel >= size;
        const int line = is_row ? pixel - size : pixel;
        const Place place = place_of(line, is_row ? height : width, size);
        const int corners = 2 * (is_row ? width : height);
        float peak = range.low;
        for (int k = 0; k < corners; ++k)
            peak = greater(peak, is_row ? upsampled(map, width, place, columns[k]) : upsampled(map, width, rows[k], place));
        if ((peak - range.low) / span > threshold) {
            atomicMin(&box[is_row ? 1 : 0], line);
            atomicMax(&box[is_row ? 3 : 2], line + 1);
        }
    }
    __syncthreads();

    if (thread < 4) {
        const bool found = box[0] < box[2] && box[1] < box[3];
        const int whole = thread < 2 ? 0 : size, side = found ? box[thread] : whole;
        boxes[4 * static_cast<long long>(blockIdx.x) + thread] = min(max(thread < 2 ? side - grow : side + grow, 0), size);
    }
}

#define CAM_BOXES(NAME, TYPE)                                                                                        \
    extern "C" __global__ void NAME(const TYPE* maps, int height, int width, int size, float threshold, int grow,    \
                                    long long* boxes) {                                                              \
        cam_boxes(maps, height, width, size, threshold, grow, boxes);                                                \
    }
CAM_BOXES(cam_boxes_float32, float)
CAM_BOXES(cam_boxes_float16, Half)

// Crops, cut out of decoded photographs and resized to squares with Pillow's antialiased filters, in its very arithmetic:
// weights in double precision, rounded to fixed point; rows first, then columns, with 8-bit pixels in between. So the
// bits are those of Pillow and of the NumPy twin, on every device.
//
// A block makes a strip of a crop, some columns wide, in bands of some rows: it shrinks (or stretches) the lines of the
// photograph that a band needs along the row into shared memory, and from there along the column into the output.
// A photograph is read in place: boxes and addresses never pass through the host on behalf of a crop.

constexpr int FRACTION_BITS = 22;  // of a weight; 8 bits of a pixel and 2 of headroom are left of 32
constexpr int HALF_A_LEVEL = 1 << (FRACTION_BITS - 1);

struct Bilinear {  // a triangle
    static constexpr double SUPPORT = 1;
    static __device__ double at(double x) {
        x = fabs(x);
        return x < 1 ? 1 - x : 0;
    }
};

struct Bicubic {  // Catmull and Rom's
    static constexpr double SUPPORT = 2;
    static __device__ double at(double x) {
        constexpr double A = -0.5;
        x = fabs(x);
        if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * A : 0;
    }
};

struct Window {  // the source pixels that an output pixel is made of, along one axis
    int first, count;
};

// Weigh the source pixels of output pixel `pixel`, of `size` that are laid over `extent`.
template <class Filter>
__device__ Window weigh(int pixel, int extent, int size, int* weights) {
    const double scale = static_cast<double>(extent) / size, wide = scale < 1 ? 1.0 : scale;
    const double centre = (pixel + 0.5) * scale, reach = Filter::SUPPORT * wide, per_pixel = 1 / wide;
    const int first = max(static_cast<int>(centre - reach + 0.5), 0);
    const int end = min(static_cast<int>(centre + reach + 0.5), extent);
    double total = 0;
    for (int k = first; k < end; ++k) total += Filter::at((k - centre + 0.5) * per_pixel);
    for (int k = first; k < end; ++k) {
        const double weight = Filter::at((k - centre + 0.5) * per_pixel) / total;
        weights[k - first] = static_cast<int>(weight * (1 << FRACTION_BITS) + (weight < 0 ? -0.5 : 0.5));
    }
    return {first, end - first};
}

// Sum `count` pixels, `stride` bytes apart, in fixed point, and round each colour to 8 bits.
__device__ __forceinline__ void weighted(const unsigned char* from, int stride, const int* weights, int count,
                                         unsigned char* to) {
    int colours[3] = {HALF_A_LEVEL, HALF_A_LEVEL, HALF_A_LEVEL};
    for (int k = 0; k < count; ++k, from += stride) {
        const int weight = weights[k];
#pragma unroll
        for (int c = 0; c < 3; ++c) colours[c] += from[c] * weight;
    }
#pragma unroll
    for (int c = 0; c < 3; ++c) to[c] = static_cast<unsigned char>(min(max(colours[c] >> FRACTION_BITS, 0), 255));
}

template <class Filter>
__device__ void crop_resize(const long long* pictures, const long long* owner, const long long* boxes, int size,
                            int columns, int rows, int taps, unsigned char* crops) {
    const int strips = (size + columns - 1) / columns;
    const long long crop = blockIdx.x / strips;
    const int left = static_cast<int>(blockIdx.x % strips) * columns, width = min(columns, size - left);
    const long long *picture = pictures + 3 * owner[crop], *box = boxes + 4 * crop;  // address, height, width; corners
    const int box_width = static_cast<int>(box[2] - box[0]), box_height = static_cast<int>(box[3] - box[1]);
    const long long line_bytes = 3 * picture[2];
    const unsigned char* const source =
        reinterpret_cast<const unsigned char*>(picture[0]) + box[1] * line_bytes + 3 * box[0];

    Window* const of_columns = reinterpret_cast<Window*>(shared_memory);
    Window* const of_rows = of_columns + columns;
    int* const column_weights = reinterpret_cast<int*>(of_rows + rows);
    int* const row_weights = column_weights + columns * taps;
    unsigned char* const lines = reinterpret_cast<unsigned char*>(row_weights + rows * taps);

    for (int j = threadIdx.x; j < width; j += blockDim.x)
        of_columns[j] = weigh<Filter>(left + j, box_width, size, column_weights + j * taps);
    for (int top = 0; top < size; top += rows) {
        const int height = min(rows, size - top);
        for (int i = threadIdx.x; i < height; i += blockDim.x)
            of_rows[i] = weigh<Filter>(top + i, box_height, size, row_weights + i * taps);
        __syncthreads();
        const int first = of_rows[0].first, count = of_rows[height - 1].first + of_rows[height - 1].count - first;
        for (int k = threadIdx.x; k < count * width; k += blockDim.x) {
            const int i = k / width, j = k % width;
            const Window window = of_columns[j];
            weighted(source + (first + i) * line_bytes + 3 * window.first, 3, column_weights + j * taps, window.count,
                     lines + 3 * (i * columns + j));
        }
        __syncthreads();
        for (int k = threadIdx.x; k < height * width; k += blockDim.x) {
            const int i = k / width, j = k % width;
            const Window window = of_rows[i];
            weighted(lines + 3 * ((window.first - first) * columns + j), 3 * columns, row_weights + i * taps,
                     window.count, crops + 3 * ((crop * size + top + i) * size + left + j));
        }
        __syncthreads();  // before the next band overwrites weights and lines
    }
}

#define CROP_RESIZE(NAME, FILTER)                                                                                     \
    extern "C" __global__ void NAME(const long long* pictures, const long long* owner, const long long* boxes,       \
                                    int size, int columns, int rows, int taps, unsigned char* crops) {                \
        crop_resize<FILTER>(pictures, owner, boxes, size, columns, rows, taps, crops);                                \
    }
CROP_RESIZE(crop_resize_bilinear, Bilinear)
CROP_RESIZE(crop_resize_bicubic, Bicubic)

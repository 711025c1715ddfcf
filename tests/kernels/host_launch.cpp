// The kernels as functions of a shared library: (blocks, threads, shared bytes, seed of the order, the kernel's own).
#include "host_shim.h"
// KERNELS is the file with the text that NVRTC gets.
#include KERNELS

#define LAUNCH(NAME, PARAMETERS, ...)                                                                      \
    extern "C" const char* launch_##NAME(int blocks, int threads, int shared_bytes, unsigned seed,         \
                                         REMOVE_PARENTHESES PARAMETERS) {                                  \
        return host::launch(blocks, threads, shared_bytes, seed, [=] { NAME(__VA_ARGS__); });              \
    }
#define REMOVE_PARENTHESES(...) __VA_ARGS__

#define LAUNCH_SCORE(NAME, TYPE)                                                                                    \
    LAUNCH(NAME, (const TYPE* similarities, long long rows, int classes, float max_entropy, float* scores,          \
                  bool* confident, Integer* sums, Integer* counts),                                                 \
           similarities, rows, classes, max_entropy, scores, confident, sums, counts)
LAUNCH_SCORE(score_by_warps_float32, float)
LAUNCH_SCORE(score_by_warps_float16, Half)
LAUNCH_SCORE(score_by_blocks_float32, float)
LAUNCH_SCORE(score_by_blocks_float16, Half)

#define LAUNCH_UPDATE(NAME, TYPE)                                                                                   \
    LAUNCH(NAME, (float* table, const long long* rows, const long long* offsets, long long images,                  \
                  const TYPE* crop_scores, const float* bias, int classes, float floor, float ema, float rest),     \
           table, rows, offsets, images, crop_scores, bias, classes, floor, ema, rest)
LAUNCH_UPDATE(update_float32, float)
LAUNCH_UPDATE(update_float16, Half)
LAUNCH_UPDATE(update_wide_float32, float)
LAUNCH_UPDATE(update_wide_float16, Half)

#define LAUNCH_CAM_BOXES(NAME, TYPE)                                                                                \
    LAUNCH(NAME, (const TYPE* maps, int height, int width, int size, float threshold, int grow, long long* boxes),  \
           maps, height, width, size, threshold, grow, boxes)
LAUNCH_CAM_BOXES(cam_boxes_float32, float)
LAUNCH_CAM_BOXES(cam_boxes_float16, Half)

#define LAUNCH_CROP_RESIZE(NAME)                                                                                    \
    LAUNCH(NAME, (const long long* pictures, const long long* owner, const long long* boxes, int size, int columns, \
                  int rows, int taps, unsigned char* crops),                                                        \
           pictures, owner, boxes, size, columns, rows, taps, crops)
LAUNCH_CROP_RESIZE(crop_resize_bilinear)
LAUNCH_CROP_RESIZE(crop_resize_bicubic)

// Just enough CUDA to run the kernels on the host, so that a machine without a GPU can check their results.
//
// Blocks run one after the other. The threads of a block are fibers that switch at barriers and shuffles. Warps and
// their lanes are shuffled, and the first that can go on always does: it runs as far ahead of the others as barriers
// allow, so that a missing barrier gives a wrong result.
// A barrier that not every thread reaches, a write beyond the shared memory that was asked for: an error. What this
// does not see: a plain += where an atomic is needed, and anything about speed.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#define HOST_SHIM
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__

using std::max;
using std::min;

struct alignas(16) float4 { float x, y, z, w; };
struct float2 { float x, y; };
struct Dim { unsigned x; };

inline float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline float half_to_float(unsigned short bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                            : exponent     ? std::ldexp(1024.0f + fraction, exponent - 25)
                                           : std::ldexp(static_cast<float>(fraction), -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

constexpr int SHARED_BYTES = 1 << 18, CANARY_BYTES = 1024;
alignas(16) float4 shared_memory[(SHARED_BYTES + CANARY_BYTES) / sizeof(float4)];

namespace host {

struct Barrier {
    int arrived = 0;
    unsigned long generation = 0;
};

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    const Barrier* waits_at;  // or nullptr
    unsigned long generation;
    bool finished;
    int shuffles;

    bool can_go_on() const { return !finished && (!waits_at || waits_at->generation != generation); }
};

inline std::vector<Fiber> fibers;
inline std::vector<Barrier> warp_barriers;
inline std::vector<uint64_t> mailboxes[2];
inline Barrier block_barrier;
inline ucontext_t scheduler;
inline std::function<void()> body;
inline int current;

inline void wait_at(Barrier& barrier, int members) {
    Fiber& fiber = fibers[current];
    fiber.waits_at = &barrier;
    fiber.generation = barrier.generation;
    if (++barrier.arrived == members) {
        barrier.arrived = 0;
        ++barrier.generation;
    }
    swapcontext(&fiber.context, &scheduler);  // also the last to arrive: another may come first in the order
}

inline void run_fiber() {
    body();
    fibers[current].finished = true;
}

}  // namespace host

inline Dim threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { host::wait_at(host::block_barrier, static_cast<int>(blockDim.x)); }

inline void __syncwarp() { host::wait_at(host::warp_barriers[host::current / 32], 32); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int step) {
    auto& mailbox = host::mailboxes[host::fibers[host::current].shuffles++ % 2];  // the last one may still be read
    std::memcpy(&mailbox[host::current], &value, sizeof value);
    __syncwarp();
    std::memcpy(&value, &mailbox[host::current ^ step], sizeof value);
    return value;
}

template <class T>
T atomicAdd(T* at, T value) {
    const T old = *at;
    *at = old + value;
    return old;
}
inline void atomicMin(int* at, int value) { *at = min(*at, value); }
inline void atomicMax(int* at, int value) { *at = max(*at, value); }

namespace host {

// Shuffle the warps, and the lanes of each.
inline std::vector<int> shuffled_threads(int threads, std::mt19937& random) {
    std::vector<int> warps(threads / 32), lanes(32), order;
    std::iota(warps.begin(), warps.end(), 0);
    std::iota(lanes.begin(), lanes.end(), 0);
    std::shuffle(warps.begin(), warps.end(), random);
    for (const int warp : warps) {
        std::shuffle(lanes.begin(), lanes.end(), random);
        for (const int lane : lanes) order.push_back(32 * warp + lane);
    }
    return order;
}

// Run a kernel; gives nullptr, or what went wrong.
inline const char* launch(int blocks, int threads, int shared_bytes, unsigned seed, std::function<void()> kernel) {
    if (threads % 32 || shared_bytes > SHARED_BYTES) return "a launch that the shim does not take";
    body = std::move(kernel);
    std::mt19937 random(seed);
    blockDim.x = threads;
    gridDim.x = blocks;
    fibers.resize(threads);
    for (auto& mailbox : mailboxes) mailbox.assign(threads, 0);
    for (int block = 0; block < blocks; ++block) {
        blockIdx.x = block;
        std::memset(shared_memory, 0xff, sizeof shared_memory);  // NaN, -1
        warp_barriers.assign(threads / 32, {});
        block_barrier = {};
        for (Fiber& fiber : fibers) {
            fiber.waits_at = nullptr;
            fiber.finished = false;
            fiber.shuffles = 0;
            fiber.stack.resize(1 << 15);
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.data();
            fiber.context.uc_stack.ss_size = fiber.stack.size();
            fiber.context.uc_link = &scheduler;
            makecontext(&fiber.context, run_fiber, 0);
        }
        const std::vector<int> order = shuffled_threads(threads, random);
        for (;;) {
            const auto next = std::find_if(order.begin(), order.end(), [](int t) { return fibers[t].can_go_on(); });
            if (next == order.end()) break;
            current = threadIdx.x = *next;
            swapcontext(&scheduler, &fibers[current].context);
        }
        if (std::any_of(fibers.begin(), fibers.end(), [](const Fiber& fiber) { return !fiber.finished; }))
            return "a barrier that not all threads reach";
        const char* const canary = reinterpret_cast<const char*>(shared_memory) + shared_bytes;
        if (std::any_of(canary, canary + CANARY_BYTES, [](char c) { return c != char(0xff); }))
            return "a write beyond the shared memory that was asked for";
    }
    return nullptr;
}

}  // namespace host

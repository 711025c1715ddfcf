"""NVRTC, which compiles the kernels on a GPU's machine, takes their source; it needs no GPU for that."""

import pytest

from ccd_fast.kernels import cupy_kernels

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")

KERNELS = [
    *(f"score_by_{layout}_{dtype}" for layout in ("warps", "blocks") for dtype in ("float32", "float16")),
    *(f"update_{wide}{dtype}" for wide in ("", "wide_") for dtype in ("float32", "float16")),
    *(f"cam_boxes_{dtype}" for dtype in ("float32", "float16")),
    *(f"crop_resize_{interpolation}" for interpolation in ("bilinear", "bicubic")),
]


def buffer(size: int) -> bytes:
    """Give bytes for NVRTC to write into: never a single one, which Python keeps and everybody shares."""
    return b"\0" * max(size, 2)


def compiled(source: str, architecture: str) -> bytes:
    """Compile to machine code; raises an AssertionError with the compiler's words."""
    try:
        error, program = nvrtc.nvrtcCreateProgram(source.encode(), b"kernels.cu", 0, [], [])
    except RuntimeError as missing:
        pytest.skip(f"NVRTC is not here: {missing}")
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS
    options = [option.encode() for option in (*cupy_kernels.OPTIONS, f"--gpu-architecture={architecture}")]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = buffer(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    said = log.decode().strip("\0")
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, said
    assert "warning" not in said, said
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    code = buffer(size)
    nvrtc.nvrtcGetCUBIN(program, code)
    return code


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])  # sm_80, sm_100 and sm_120 were tried, too
def test_every_kernel_is_compiled_for_a_card(architecture):
    code = compiled(cupy_kernels.source(), architecture)
    for kernel in KERNELS:
        assert kernel.encode() in code


def test_a_mistake_in_the_source_is_seen():
    with pytest.raises(AssertionError, match="undefined"):
        compiled('extern "C" __global__ void wrong() { nowhere(); }', "sm_90")


def test_what_python_shares_stays_as_it_is():
    compiled('extern "C" __global__ void nothing() {}', "sm_90")  # the log is empty: one byte, the end of the text
    assert bytes([32]) == b"\x20" and b"\x20".hex() == "20" and b"\0".hex() == "00"

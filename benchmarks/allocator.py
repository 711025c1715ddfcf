"""What keeping freed memory is worth: a student's training step with glibc's own settings and with ours.

``python benchmarks/allocator.py [OUT.json]``; each setting in a process of its own, in turn, three times.
"""

import json
import subprocess
import sys
from pathlib import Path

from ccd_fast import machine

STEP = """
import sys, time, timm, torch
from ccd_fast import machine
if sys.argv[1] == "kept":
    assert machine.keep_freed_memory()
net = timm.create_model("tf_efficientnet_lite0").to(memory_format=torch.channels_last).train()
pixels = torch.randn(16, 3, 224, 224).to(memory_format=torch.channels_last)
for step in range(7):
    if step == 2:
        start = time.perf_counter()
    net.forward_features(pixels).mean().backward()
print((time.perf_counter() - start) / 5 / 16 * 1e3)
"""


def measure(setting: str) -> float:
    """Give milliseconds an image of a forward and backward pass, batch 16, 224 pixels, 5 steps after 2."""
    done = subprocess.run([sys.executable, "-c", STEP, setting], capture_output=True, text=True, check=True)
    return round(float(done.stdout), 2)


if __name__ == "__main__":
    turns = [{setting: measure(setting) for setting in ("default", "kept")} for _ in range(3)]
    ratios = sorted(turn["default"] / turn["kept"] for turn in turns)
    result = {"what": "ms an image, EfficientNet-Lite0, forward and backward", "turns": turns}
    result |= {"median_ratio": round(ratios[1], 3), "machine": machine.describe()}
    print(json.dumps({key: result[key] for key in ("turns", "median_ratio")}))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

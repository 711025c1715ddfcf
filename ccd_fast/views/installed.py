"""Which backends are installed, asked without loading any."""

import importlib.util


def installed_backends() -> list[str]:
    """Name the backends that can be opened here, the fastest first."""
    has_dali = importlib.util.find_spec("nvidia") is not None and importlib.util.find_spec("nvidia.dali") is not None
    return ["dali", "pillow"] if has_dali else ["pillow"]

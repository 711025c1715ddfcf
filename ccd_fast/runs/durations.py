"""How long something takes, as a person says it."""

EXACT = 10.0
"""Seconds below which a tenth of one is said too."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def in_words(seconds: float) -> str:
    """Say a duration as exactly as a person needs it: ``"4.2 s"``, ``"12 min"``, ``"2 h 5 min"``, ``"3 days 4 h"``.

    Args:
        seconds: from 0 on.
    """
    if seconds < EXACT:
        return f"{seconds:.1f} s"
    if seconds < 1.5 * MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / MINUTE)
    if minutes < 90:
        return f"{minutes} min"
    if seconds < 2 * DAY:
        return _both(minutes // 60, "h", minutes % 60, "min")
    hours = round(seconds / HOUR)
    return _both(hours // 24, "days", hours % 24, "h")


def _both(large: int, of_large: str, small: int, of_small: str) -> str:
    return f"{large} {of_large}" + (f" {small} {of_small}" if small else "")

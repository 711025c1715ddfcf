"""What the shell offers for values of options; each is imported when it is asked for, so that Tab answers at once."""


def datasets(beginning: str) -> list[str]:
    """Offer the names of data sets."""
    from ccd_fast.datasets import DATASETS

    return [name for name in DATASETS if name.startswith(beginning)]


def of_yours(beginning: str) -> list[str]:
    """Offer the names of data sets whose classes the user brings."""
    from ccd_fast.datasets import DATASETS

    return [name for name, described in DATASETS.items() if described.yours and name.startswith(beginning)]


def recipes(beginning: str) -> list[str]:
    """Offer the built-in recipes; with none that fits, the shell offers files."""
    from ccd_fast.recipes import config

    return [name for name in config.built_in() if name.startswith(beginning)]


def systems(beginning: str) -> list[str]:
    """Offer the systems of the paper's table."""
    from ccd_fast.systems import SYSTEMS

    return [name for name in SYSTEMS if name.startswith(beginning)]


def knobs(beginning: str) -> list[str]:
    """Offer the knobs of a recipe, up to the value."""
    from ccd_fast.recipes import config

    return [f"{name}=" for name in config.knobs() if name.startswith(beginning)]


def export_formats(beginning: str) -> list[str]:
    """Offer what a student is exported as."""
    from ccd_fast.outputs.places import STUDENTS

    return [name for name in STUDENTS if name.startswith(beginning)]


def checkpoints(beginning: str) -> list[str]:
    """Offer the checkpoints of a run."""
    return [name for name in ("best", "last") if name.startswith(beginning)]

"""``python -m ccd_fast`` is the same as ``ccd-fast``."""

from ccd_fast.cli import main

if __name__ == "__main__":
    main()

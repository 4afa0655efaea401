"""Where the folders `mappings` and `templates` are: in the wheel, or in the checkout.

Plain paths instead of `importlib.resources`: importing that costs more than reading the index.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the folder *name*, from the wheel's `_data` or else from the checkout.

    Raises:
        FileNotFoundError: neither has it; both places are named.
    """
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else checkout_dir(name)


def checkout_dir(name: str) -> Path:
    """Return the folder *name* of the checkout, where generated files are written.

    Raises:
        FileNotFoundError: this is not a checkout.
    """
    checkout = _PACKAGE.parents[1] / name
    if not checkout.is_dir():
        packaged = _PACKAGE / "_data" / name
        raise FileNotFoundError(
            f"no folder `{name}` at {packaged} nor at {checkout}; reinstall mint-migrate"
        )
    return checkout

"""What the rules of OpenRLHF ask of the options of a launch.

Options are known by their first names (`--eps_clip`); those that only the dotted vocabulary has, by
their own (`actor.loss_agg_mode`).
"""

from __future__ import annotations

from mint_migrate.rules.launched.settings import UNKNOWN, Settings
from mint_migrate.tables.versions import version_key

DOTTED = "0.10.2"
"""First recorded release with dotted names."""


def fact(settings: Settings, name: str) -> str | bool | int | None:
    """Return what OpenRLHF does in the release of the launch where no option says so."""
    return settings.tables.fact(f"openrlhf_{name}", settings.version).value


def at_least(settings: Settings, release: str) -> bool:
    """Say whether the launch was written for *release* or a later one."""
    return version_key(settings.version) >= version_key(release)


def field_of(
    settings: Settings, key: str, fallback: str, kind: str, name: str = "", comment: str = ""
) -> str:
    """Make an option a field; return the expression that reads it.

    Args:
        settings: the options of the launch.
        key: the option.
        fallback: the default, an expression, in releases that have no such option.
        kind: annotation of the field.
        name: of the field; left out: the option's.
        comment: what the reader of the result should know of it.
    """
    setting = settings.value(key)
    if setting.given is None and isinstance(setting.data, tuple):
        return settings.add_field(name or key, repr(list(setting.data)), kind, comment)
    if setting.given is None and setting.data is None:
        return settings.add_field(name or key, fallback, kind, comment)
    return settings.use(key, name, kind=kind, comment=comment)


def is_positive(settings: Settings, key: str) -> bool:
    """Say whether an option is a number above 0, as far as the text shows."""
    data = settings.value(key).data
    return data is UNKNOWN or (isinstance(data, int | float) and data > 0)


def switch(settings: Settings, key: str, target: str) -> bool:
    """Return the value of a switch, and say where it went.

    Raises:
        Blocked: only the shell knows it.
    """
    value = bool(settings.known(key))
    settings.exact(key, target)
    return value


def plan_probabilities(settings: Settings, data: str, key: str) -> bool:
    """Say whether rows are drawn from several data sets with given probabilities.

    Args:
        settings: the options of the launch.
        data: option that names the data sets.
        key: option of the probabilities.
    """
    probabilities = settings.value(key).data
    is_one = str(probabilities) in {"1.0", "1"} and "," not in str(settings.value(data).data)
    if probabilities is None or is_one:
        settings.exact(key, "nothing", "there is one data set")
        return False
    settings.use(key, kind="str", comment="of drawing from each data set")
    return True

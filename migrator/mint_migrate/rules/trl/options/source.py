"""Where a configuration comes from whose options are only known when the script runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_migrate.model.facts import Argument, Call, OptionClass, Parsed
from mint_migrate.model.plan import Found, Kind
from mint_migrate.rules.base import Blocked, Ledger

PARSER, KEYWORDS = "parser", "keywords"


@dataclass(slots=True, kw_only=True)
class OptionSource:
    """A parser that makes the configuration, or a call of its class with `**` in it."""

    owner: str
    """Canonical name of the class."""
    call: Call
    """The call that makes the parser; with keywords, the one that makes the configuration."""
    via: str
    own: OptionClass | None = None
    """The file's own class, where the configuration's is one that derives from *owner*."""
    accepted: frozenset[str] = frozenset()
    """Options that the class has in the script's release."""
    stand_ins: dict[str, Found] = field(default_factory=dict)
    """What stands for the options that the script does not give itself."""
    given: dict[str, str] = field(default_factory=dict)
    """Expressions of the options that the script does give, with keywords."""
    settled: dict[str, str] = field(default_factory=dict)
    """Options whose value is set once all are known, as expressions of `self`."""

    def stand_in(self, name: str) -> Found:
        """Return what stands for an option in decisions while the loop is planned."""
        found = Found(
            kind=Kind.FLAG,
            name=f"{self.owner}.{name}",
            span=self.call.found.span,
            source_text=f"--{name}",
        )
        self.stand_ins[name] = found
        return found


def parsed_source(ledger: Ledger, argument: Argument | None, call: Call) -> OptionSource | None:
    """Return the parser that makes what *argument* of *call* names; None where none does.

    Raises:
        Blocked: the parser's result has been used for another trainer.
    """
    parsed = parsed_variable(ledger, argument, call)
    if parsed is None or parsed.made.qualified is None:
        return None
    parser = ledger.call_of(parsed.parser)
    ledger.check_unclaimed(parser)
    owner = ledger.tables.canonical(parsed.made.qualified)
    return OptionSource(
        owner=owner,
        call=parser,
        via=PARSER,
        own=parsed.made if parsed.made.is_own else None,
        accepted=_accepted(ledger, owner),
    )


def keywords_source(ledger: Ledger, call: Call, owner: str) -> OptionSource | None:
    """Return the call of a configuration as a source where it hides options behind `**`.

    Raises:
        Blocked: options are hidden behind `*` as well, or nothing is recorded of the class.
    """
    if not any(argument.star == "**" for argument in call.arguments):
        return None
    accepted = _accepted(ledger, ledger.tables.canonical(call.qualified))
    if not accepted:
        raise Blocked("MM291", f"the options of `{owner}` are not recorded", call.found)
    return OptionSource(
        owner=ledger.tables.canonical(call.qualified),
        call=call,
        via=KEYWORDS,
        accepted=accepted,
    )


def _accepted(ledger: Ledger, owner: str) -> frozenset[str]:
    """Return the options of a class in the script's release, else in the newest that has it."""
    found = ledger.tables.accepted(ledger.version, owner)
    for version in reversed(ledger.tables.versions):
        found = found or ledger.tables.accepted(version, owner)
    return found


def parsed_variable(ledger: Ledger, argument: Argument | None, call: Call) -> Parsed | None:
    """Return the parsed variable that an argument of a call names."""
    name = argument.value.name if argument is not None else None
    if name is None:
        return None
    scope = ledger.owner_of(name, call.scope)
    return next(
        (item for item in ledger.facts.parsed if (item.name, item.scope) == (name, scope)), None
    )

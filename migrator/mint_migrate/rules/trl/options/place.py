"""Rule: the result's own classes of options take the place of those it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from mint_migrate.model.facts import Call, Value
from mint_migrate.model.options_script import OptionsScript, ReadOptions
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked, Ledger, positional_argument
from mint_migrate.rules.trl.options.classes import (
    WIDTH,
    Unread,
    config_class,
    other_class,
    owns_fields,
)
from mint_migrate.rules.trl.options.source import KEYWORDS, OptionSource, parsed_variable
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.write import put_config

CODE = "MM260"
FILE_PARSER = "trl.TrlParser"
LOAD_MIXTURE = "trl.get_dataset"
DEFINED = ("WITHOUT_EFFECT", "ONLY_AS", "check_option", "SettledOption")
NAMES = {
    "config": ("TrainingConfig", "TrainingOptions", "MintTrainingConfig"),
    "settle": ("settle_options", "settle_all_options"),
    "parser": ("OptionParser", "TrainingOptionParser"),
    "factory": ("config_from", "training_config_from"),
}


def place_options(
    plan: TrainerPlan, source: OptionSource, call: Call | None, value: Value | None
) -> OptionsScript:
    """Write the configuration, rename what is parsed, and decide the parser.

    Raises:
        Blocked: an option has a value in the script that the loop was not written for, or the names
            that the result defines are taken.
    """
    ledger = plan.ledger
    _check_free(ledger, plan.trainer)
    names = {role: _free(ledger, candidates) for role, candidates in NAMES.items()}
    unread = Unread()
    first = config_class(plan.config, source, names["config"], plan.read_elsewhere, unread)
    others = _other_classes(ledger, source, unread)
    owners = {source.owner: first.name, **{owner: item.name for owner, item in others.items()}}
    if source.via == KEYWORDS:
        assert call is not None
        _place_keywords(plan, source, call, value, first, names["factory"])
    else:
        owners[ledger.tables.canonical(source.call.qualified)] = names["parser"]
        plan.config_name = plan.arguments["args"].value.text
    _rename(ledger, source, owners)
    _refuse_mixtures(ledger)
    _forget_stand_ins(ledger, source)
    _decide_source(ledger, source, first, unread, names)
    classes = (first, *others.values())
    own = owns_fields(tuple(item.made for item in ledger.facts.parsed if item.made.is_own))
    read = own | {item.name for each in classes for item in each.fields}
    only_as = {name: values for name, values in unread.only_as.items() if name not in read}
    return _script(ledger, source, names, classes, unread.lines(read | only_as.keys()), only_as)


def _check_free(ledger: Ledger, trainer: Call) -> None:
    """The result defines names for the options of one trainer.

    Raises:
        Blocked: another trainer has them, or the script uses them itself.
    """
    if ledger.option_classes:
        raise Blocked(
            "MM238",
            "the options of another trainer of the file are only known when the script runs as "
            "well; convert each in a file of its own",
            trainer.found,
        )
    taken = {name for scope in ledger.facts.scopes for name in scope.names}
    for name in DEFINED:
        if name in taken:
            raise Blocked("MM230", f"`{name}` is a name of the result's; rename it", trainer.found)
    ledger.option_classes = True


def _script(
    ledger: Ledger,
    source: OptionSource,
    names: dict[str, str],
    classes: tuple[ReadOptions, ...],
    without_effect: tuple[str, ...],
    only_as: dict[str, tuple[str, ...]],
) -> OptionsScript:
    is_parser = source.via != KEYWORDS
    text = ledger.facts.text
    mentions = ("set_defaults(", "parse_dict(", "parse_yaml_file(", "parse_json_file(")
    return OptionsScript(
        classes=classes,
        without_effect=without_effect,
        only_as=tuple(
            (name, tuple(wrap(" ".join(values), WIDTH))) for name, values in sorted(only_as.items())
        ),
        settle=names["settle"],
        parser=names["parser"] if is_parser else "",
        reads_file=is_parser and ledger.tables.canonical(source.call.qualified) == FILE_PARSER,
        sets_defaults=is_parser and any(item in text for item in mentions),
        factory="" if is_parser else names["factory"],
    )


def option_imports(options: OptionsScript | None) -> frozenset[str]:
    """Return the imports that classes and parsers of options need."""
    if options is None:
        return frozenset()
    needed = {"from dataclasses import dataclass"}
    if any(
        item.help or "field(" in (item.default or "")
        for each in options.classes
        for item in each.fields
    ):
        needed.add("from dataclasses import field")
    computed = [text for each in options.classes for _, text in each.properties]
    if any("SimpleNamespace(" in text for text in computed):
        needed.add("from types import SimpleNamespace")
    if any("nullcontext(" in text for text in computed):
        needed.add("from contextlib import nullcontext")
    if options.parser:
        needed |= {"import argparse", "from transformers import HfArgumentParser"}
    if options.reads_file:
        needed |= {"import os", "import sys", "import yaml"}
    return frozenset(needed)


def _free(ledger: Ledger, candidates: Sequence[str]) -> str:
    taken = {name for scope in ledger.facts.scopes for name in scope.names}
    return next((name for name in candidates if name not in taken), candidates[-1])


def _other_classes(ledger: Ledger, source: OptionSource, unread: Unread) -> dict[str, ReadOptions]:
    """Return the other classes of TRL's that the parser is given, by canonical name."""
    found: dict[str, ReadOptions] = {}
    if source.via == KEYWORDS:
        return found
    called = {call.found.span for call in ledger.facts.calls}
    tables = ledger.tables
    for item in ledger.facts.references:
        owner = tables.canonical(item.qualified)
        is_called = any(
            (span.line, span.column) == (item.span.line, item.span.column) for span in called
        )
        if owner in found or owner == source.owner or is_called or not tables.is_recorded(owner):
            continue
        if owner.endswith("Trainer"):
            continue
        name = (
            f"{owner.removeprefix('trl.').removesuffix('Config').removesuffix('Arguments')}Options"
        )
        found[owner] = other_class(
            ledger, owner, _free(ledger, (name,)), _reads(ledger, owner), unread
        )
    return found


def _reads(ledger: Ledger, owner: str) -> frozenset[str]:
    """Return what is read of a class of options, by the user's code and by ours."""
    names = {
        item.name
        for item in ledger.facts.parsed
        if item.made.qualified is not None and ledger.tables.canonical(item.made.qualified) == owner
    }
    read = {attr for name, attr in ledger.facts.attributes_read if name in names}
    read |= {attr for name, attr in ledger.facts.attributes_written if name in names}
    return frozenset(read | {option for each, option in ledger.read_options if each == owner})


def _rename(ledger: Ledger, source: OptionSource, owners: dict[str, str]) -> None:
    """Write the new names wherever the script mentions the old ones."""
    left: set[str] = set()
    starts = {(call.found.span.line, call.found.span.column): call for call in ledger.facts.calls}
    for item in ledger.facts.references:
        name = owners.get(ledger.tables.canonical(item.qualified))
        call = starts.get((item.span.line, item.span.column))
        is_other = (
            call is not None
            and call.number != source.call.number
            and call.qualified == item.qualified
        )
        if name is None or is_other:
            left.add(item.bound)
            continue
        if call is not None and source.via == KEYWORDS:
            continue
        ledger.replace_expression(item.span, name)
    for item in ledger.facts.references:
        owner = ledger.owner_of(item.bound, item.scope)
        if item.bound not in left and owner is not None:
            ledger.renamed.add((item.bound, owner))


def _place_keywords(
    plan: TrainerPlan,
    source: OptionSource,
    call: Call,
    value: Value | None,
    made: ReadOptions,
    factory: str,
) -> None:
    """Write the call that makes the configuration of what is only known when it runs."""
    kept = {item.name for item in made.fields}
    lines = []
    for argument in call.arguments:
        name = argument.keyword or "output_dir"
        if argument.star == "**":
            lines.append(f"    **{argument.value.text},")
        elif name in kept and argument.splat is None:
            lines += [f"    {comment}" for comment in argument.comments]
            lines.append(f"    {name}={source.given.get(name, argument.value.text)},")
    given = [item for item in call.arguments if item.splat is not None and item.keyword in kept]
    lines += [f"    {item.keyword}={item.value.text}," for item in given]
    put_config(plan, call, value, "\n".join([f"{factory}(", *lines, ")"]))


def _refuse_mixtures(ledger: Ledger) -> None:
    """A mixture of data sets cannot be asked for any more, so nothing loads one."""
    for call in ledger.facts.calls:
        if ledger.tables.canonical(call.qualified) != LOAD_MIXTURE:
            continue
        argument = positional_argument(call, 0)
        parsed = parsed_variable(ledger, argument, call)
        if parsed is not None and parsed.made.qualified is not None and not parsed.made.is_own:
            note = "`datasets` is refused, so there is no mixture to load; name one data set"
            ledger.decide_call(call, Fidelity.APPROXIMATE, CODE, note)
            ledger.replace_expression(call.found.span, "None")


def _forget_stand_ins(ledger: Ledger, source: OptionSource) -> None:
    """Options that the script does not mention are no items of it."""
    for found in source.stand_ins.values():
        ledger.decisions.pop(found, None)
    for index, notice in enumerate(ledger.notices):
        for name in source.accepted:
            notice = notice.replace(f"self.{name}", name)
        ledger.notices[index] = notice


def _decide_source(
    ledger: Ledger, source: OptionSource, made: ReadOptions, unread: Unread, names: dict[str, str]
) -> None:
    """Decide the parser, or the call with `**`, and what is left of its arguments."""
    call = source.call
    only = ", ".join(f"`{name}`" for name in sorted(unread.only_as))
    note = (
        f"{len(made.fields)} options are read when the script runs, "
        f"{len(unread.without_effect)} are accepted without effect; refused with another value "
        f"than the loop was written for: {only}"
    )
    is_parser = source.via != KEYWORDS
    target = f"{names['parser' if is_parser else 'factory']}(...)"
    ledger.decide(
        call.found,
        Fidelity.APPROXIMATE,
        row=ledger.tables.row(call.qualified),
        code=CODE,
        target=target,
        note=note,
    )
    ledger.differ(
        call.found,
        CODE,
        "options given when the script runs that the loop does not read have no effect, or are "
        "refused; see `WITHOUT_EFFECT` and `ONLY_AS`",
    )
    for argument in call.arguments:
        if argument.found in ledger.decisions:
            continue
        if argument.star == "**" and not is_parser:
            ledger.decide(argument.found, Fidelity.APPROXIMATE, code=CODE, target=target, note=note)
        else:
            ledger.exact(argument.found, None, target)

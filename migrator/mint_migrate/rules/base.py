"""The ledger that every rule writes its decisions to, and how a row becomes a decision."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mint_migrate.analyse.text import count_mentions, source_of
from mint_migrate.model.facts import Argument, Binding, Call, Facts, Use, Value
from mint_migrate.model.plan import Decision, Fidelity, Found
from mint_migrate.model.script import Edit
from mint_migrate.model.source import Options, Span, contains
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row


class Blocked(Exception):
    """A construct stops the conversion of its trainer.

    A value for the planner, never for the user.
    """

    def __init__(self, code: str, note: str, found: Found | None = None) -> None:
        super().__init__(note)
        self.code = code
        self.note = note
        self.found = found


@dataclass(slots=True)
class Ledger:
    """Decisions and edits while a plan is made. Each found thing is decided once."""

    facts: Facts
    tables: Tables
    options: Options
    version: str
    decisions: dict[Found, Decision] = field(default_factory=dict)
    edits: dict[Span, Edit] = field(default_factory=dict)
    removed: dict[tuple[str, int], str] = field(default_factory=dict)
    """(name, scope) of variables that no longer exist in the result, with the code of the reason.
    """
    provided: set[str] = field(default_factory=set)
    """Imported names that functions of the result define instead."""
    remarks: dict[Span, list[str]] = field(default_factory=dict)
    """Comments above statements that act differently from the original."""
    broken: dict[Span, tuple[str, str]] = field(default_factory=dict)
    """Statements that become comments, with code and reason."""
    trained: dict[int, object] = field(default_factory=dict)
    """What each training planned so far knows of its model, by number of the trainer's call."""
    notices: list[str] = field(default_factory=list)
    differences: list[tuple[Found, str, str]] = field(default_factory=list)
    """(thing, code, sentence) for the docstring of the result."""
    fixed_options: frozenset[str] = frozenset()
    """Options that are only known when the script runs, but whose value shapes the loop."""
    renamed: set[tuple[str, int]] = field(default_factory=set)
    """(name, scope) of imports that have another name wherever the result still mentions them."""
    read_options: set[tuple[str, str]] = field(default_factory=set)
    """(class, option) of what the result reads of classes of options besides the user's code."""
    option_classes: bool = False
    """A trainer's options are only known when the script runs; the result has classes for them."""

    def copy(self) -> Ledger:
        """Return a ledger that may be given up without a trace in this one."""
        return replace(
            self,
            decisions=dict(self.decisions),
            edits=dict(self.edits),
            removed=dict(self.removed),
            provided=set(self.provided),
            remarks={place: list(lines) for place, lines in self.remarks.items()},
            broken=dict(self.broken),
            trained=dict(self.trained),
            notices=list(self.notices),
            differences=list(self.differences),
            renamed=set(self.renamed),
            read_options=set(self.read_options),
        )

    def decide(
        self,
        found: Found,
        fidelity: Fidelity,
        *,
        row: Row | None = None,
        code: str | None = None,
        target: str = "",
        note: str = "",
    ) -> None:
        """Record the one decision for *found*."""
        assert found not in self.decisions, f"decided twice: {found}"
        self.decisions[found] = Decision(
            found=found,
            fidelity=fidelity,
            row=row.id if row is not None else None,
            code=None if fidelity is Fidelity.EXACT else code,
            target=target,
            note=note,
        )

    def exact(self, found: Found, row: Row | None, target: str, note: str = "") -> None:
        self.decide(found, Fidelity.EXACT, row=row, target=target, note=note)

    def manual(self, found: Found, code: str, note: str, row: Row | None = None) -> None:
        self.decide(found, Fidelity.MANUAL, row=row, code=code, note=note)

    def by_row(self, argument: Argument, row: Row | None) -> Fidelity:
        """Decide an argument as its row says, and everything inside it alike."""
        if row is None:
            self.manual(argument.found, "MM290", self._unknown(argument))
            self._inside(argument, Fidelity.MANUAL, "MM290", "its argument is not known")
            return Fidelity.MANUAL
        if argument.value.literal is not None and argument.value.literal in row.neutral:
            self.exact(
                argument.found, row, row.to or "nothing to do", "has no effect with this value"
            )
            self._inside(argument, Fidelity.EXACT, None, "part of an option without effect")
            return Fidelity.EXACT
        self.decide(
            argument.found, row.fidelity, row=row, code=row.code, target=row.to, note=row.note
        )
        self._inside(argument, row.fidelity, row.code, f"part of `{argument.keyword or 'it'}`")
        return row.fidelity

    def _unknown(self, argument: Argument) -> str:
        return f"no recorded release has an option `{argument.keyword}` here"

    def _inside(self, argument: Argument, fidelity: Fidelity, code: str | None, note: str) -> None:
        """Decide the source calls and callbacks inside an argument like the argument itself."""
        for element in argument.elements:
            if element not in self.decisions:
                self.decide(element, fidelity, code=code, note=note)
        for call in self.calls_inside(argument.value.span):
            self.decide_call(call, fidelity, code, note)

    def decide_call(self, call: Call, fidelity: Fidelity, code: str | None, note: str) -> None:
        """Decide a call and all of its arguments alike, as far as they are not decided yet."""
        row = self.tables.row(call.qualified, None)
        if call.found not in self.decisions:
            self.decide(call.found, fidelity, row=row, code=code, note=note)
        for argument in call.arguments:
            if argument.found not in self.decisions:
                self.decide(argument.found, fidelity, row=row, code=code, note=note)
                for element in argument.elements:
                    self.decide(element, fidelity, code=code, note=note)

    def check_unclaimed(self, call: Call) -> None:
        """A call may belong to one trainer only.

        Raises:
            Blocked: another trainer has been planned with it.
        """
        if call.found in self.decisions:
            name = call.target or f"the call on line {call.found.span.line}"
            raise Blocked(
                "MM238",
                f"`{name}` is shared by two trainers; make one for each",
                call.found,
            )

    def calls_inside(self, span: Span) -> list[Call]:
        """Return the source calls that lie within *span*."""
        return [call for call in self.facts.calls if contains(span, call.found.span)]

    def check_splat(self, call: Call, argument: Argument) -> None:
        """The dictionary behind `**name` must reach the call as it was written.

        Raises:
            Blocked: a statement between the two mentions it and may change it.
        """
        name = argument.splat
        if name is None:
            return
        binding = self.binding_of(name, call.scope, call.statement)
        for statement in self.facts.statements:
            if binding is None or name not in statement.loads or statement.span == call.statement:
                continue
            if binding.statement < statement.span < call.statement:
                raise Blocked(
                    "MM291",
                    f"`{name}` may be changed on line {statement.span.line}; write its keys "
                    "out as keywords",
                    argument.found,
                )

    def remove_statement(self, span: Span) -> None:
        """Take a statement out of the result."""
        if span not in self.edits:
            self.edits[span] = Edit(span=span, text=None, is_statement=True)

    def replace_statement(self, span: Span, text: str) -> None:
        """Put *text* where a statement stood, under the comments it already has."""
        earlier = self.edits.get(span)
        comments = earlier.comments if earlier is not None else ()
        self.edits[span] = Edit(span=span, text=text, is_statement=True, comments=comments)

    def mark(self, statement: Span, code: str, note: str) -> None:
        """Put a TODO above a statement that stays."""
        edit = self.edits.get(statement)
        text = edit.text if edit is not None else self.text_of(statement)
        comments = edit.comments if edit is not None else ()
        line = f"# TODO[mint-migrate {code}] {note}"
        if line not in comments:
            self.edits[statement] = Edit(
                span=statement, text=text, is_statement=True, comments=(*comments, line)
            )

    def mark_broken(self, statement: Span, code: str, note: str) -> None:
        """Turn a statement that cannot run any more into comments under a TODO."""
        self.broken.setdefault(statement, (code, note))

    def needs_person(self, name: str, scope: int, statement: Span, code: str) -> None:
        """The user's code still needs *name*: what made it is for a person now."""
        maker = next(
            (
                call
                for call in self.facts.calls
                if name in call.targets and self.owner_of(name, call.scope) == scope
            ),
            None,
        )
        if maker is None or self.decisions[maker.found].fidelity is Fidelity.MANUAL:
            return
        decision = self.decisions[maker.found]
        self.decisions[maker.found] = replace(
            decision,
            fidelity=Fidelity.MANUAL,
            code=code,
            note=f"line {statement.line} still needs `{name}`; it became a comment",
        )

    def text_of(self, span: Span) -> str:
        """Return the user's text of *span*, moved to the left margin."""
        return source_of(self.facts.text).at_margin(span, span.column - 1)

    def mentions(self, statement: Span, name: str) -> int:
        """Count how often a statement, or the header of a compound one, reads a name."""
        return count_mentions(self.text_of(statement), name)

    def differ(self, found: Found, code: str, sentence: str, place: Span | None = None) -> None:
        """Note a difference for the result's docstring, and above the statement where it acts."""
        self.differences.append((found, code, sentence))
        if place is not None:
            self.remarks.setdefault(place, []).append(f"# approximate ({code}): {sentence}")

    def binding_of(self, name: str, scope: int, before: Span) -> Binding | None:
        """Return the last binding of *name*, visible in *scope*, above the line of *before*.

        Where the name belongs to an outer scope, its last binding there.
        """
        owner = self.owner_of(name, scope)
        if owner is None:
            return None
        found = [
            binding
            for binding in self.facts.bindings
            if binding.name == name and binding.scope == owner
        ]
        if owner == scope:
            found = [item for item in found if item.statement < before] or found[:1]
        return found[-1] if found else None

    def owner_of(self, name: str, scope: int | None) -> int | None:
        """Return the number of the scope that binds *name* for a reader in *scope*.

        `self.x` belongs to the method that binds it, whichever method of the class reads it.
        """
        start = scope
        if name.startswith("self."):
            return self._owner_of_attribute(name, scope)
        while scope is not None:
            entry = self.facts.scopes[scope]
            if name in entry.names and (entry.kind != "class" or scope == start):
                return scope
            scope = entry.parent
        return None

    def _owner_of_attribute(self, name: str, scope: int | None) -> int | None:
        holder = self.class_of(scope)
        for entry in self.facts.scopes:
            if name in entry.names and self.class_of(entry.number) == holder:
                return entry.number
        return None

    def class_of(self, scope: int | None) -> int | None:
        """Return the class around a scope."""
        while scope is not None and self.facts.scopes[scope].kind != "class":
            scope = self.facts.scopes[scope].parent
        return scope

    def call_of(self, number: int) -> Call:
        return self.facts.calls[number]

    def call_behind(self, value: Value, scope: int, before: Span) -> Call | None:
        """Return the source call that an expression is, or that its variable was bound to."""
        number = value.call
        if number is None and value.name is not None:
            binding = self.binding_of(value.name, scope, before)
            if binding is not None and binding.value is not None:
                number = binding.value.call
        return None if number is None else self.call_of(number)

    def returned_call(self, value: Value) -> Call | None:
        """Return the source call that a function of the file returns, where *value* is a call of
        it.
        """
        numbers = [number for name, number in self.facts.returned_calls if name == value.maker]
        return self.call_of(numbers[0]) if len(numbers) == 1 else None

    def replace_expression(self, span: Span, text: str) -> None:
        """Put *text* where an expression stood."""
        self.edits[span] = Edit(span=span, text=text, is_statement=False)

    def uses_of(self, call: Call) -> list[Use]:
        """Return what is done with the object a call made, in source order."""
        return [use for use in self.facts.uses if use.call == call.number]


def argument_named(call: Call, name: str) -> Argument | None:
    """Return the keyword argument called *name*."""
    return next((item for item in call.arguments if item.keyword == name), None)


def positional_argument(call: Call, index: int) -> Argument | None:
    """Return the positional argument at *index*, unless it is starred."""
    return next((item for item in call.arguments if item.index == index and not item.star), None)

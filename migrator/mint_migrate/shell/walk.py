"""Follows a shell script in the order in which it runs, and notes what its variables are.

Nothing is executed. Where the text does not show which way a script goes, all ways are followed and
what they disagree on is not known. A loop's body is followed once, with what it changes not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from mint_migrate.shell.arithmetic import evaluate
from mint_migrate.shell.bindings import Scope, joined, varying
from mint_migrate.shell.conditions import decided
from mint_migrate.shell.effects import Effects
from mint_migrate.shell.expansions import pattern_of
from mint_migrate.shell.resolve import Resolver
from mint_migrate.shell.setters import ARGUMENTS, local_names, names_in_arithmetic, names_set_in
from mint_migrate.shell.simple import DECLARES
from mint_migrate.shell.syntax import (
    Apart,
    Arithmetic,
    Block,
    Branches,
    Case,
    Chain,
    Command,
    Function,
    Loop,
    Negated,
    Node,
)
from mint_migrate.shell.words import PartKind, Word, default_word

_MOST_STEPS = 20_000
"""Commands that are followed at most; functions that call functions may multiply them."""


class Walker:
    """Follows one script."""

    def __init__(self, text: str) -> None:
        """Take the whole script, from which words are quoted in reports."""
        self.text = text
        self.effects = Effects(text)
        self.scopes: dict[int, Scope] = {}
        """What is known where a command runs, by its identity; of several runs what they share."""
        self._functions: dict[str, Function] = {}
        self._called: set[str] = set()
        self._steps = 0
        self._active: set[int] = set()
        """Identities of the functions that are being followed."""

    def follow(self, root: Node, scope: Scope) -> Scope:
        """Return what is known at the end of a script."""
        end = self._follow(root, scope)
        for name, function in list(self._functions.items()):
            if name not in self._called:
                self._call(function, None, end.copy())
        return end

    def _follow(self, node: Node, scope: Scope) -> Scope:
        return _WAYS[type(node)](self, node, scope)

    def _block(self, node: Block, scope: Scope) -> Scope:
        for item in node.items:
            scope = self._follow(item, scope)
        return scope

    def _apart(self, node: Apart, scope: Scope) -> Scope:
        for item in node.items:
            self._follow(item, scope.copy())
        return scope

    def _negated(self, node: Negated, scope: Scope) -> Scope:
        return self._follow(node.item, scope)

    def _function(self, node: Function, scope: Scope) -> Scope:
        self._functions[node.name] = node
        return scope

    def _arithmetic(self, node: Arithmetic, scope: Scope) -> Scope:
        self.effects.vary(names_in_arithmetic(node.text), scope)
        return scope

    def _chain(self, node: Chain, scope: Scope) -> Scope:
        status = self._status(node.first, scope)
        scope = self._follow(node.first, scope)
        for operator, item in node.rest:
            runs = None if status is None else status == (operator == "&&")
            if runs is False:
                self._follow(item, _dead(scope))
                continue
            status = self._status(item, scope) if runs else None
            inner = self._follow(item, scope.copy())
            scope = inner if runs else joined(scope, inner, self.effects.serials)
        return scope

    def _status(self, node: Node | None, scope: Scope) -> bool | None:
        """Return whether a condition holds, None where the text does not show it."""
        match node:
            case Command() if node.words:
                return decided(node.words, Resolver(scope, self.text))
            case Command():
                return True if _only_assigns(node) else None
            case Arithmetic():
                text = Resolver(scope, self.text).text_of(default_word(node.text, is_quoted=True))
                value = None if text is None else evaluate(text, scope.text)
                return None if value is None else value != 0
            case Negated():
                status = self._status(node.item, scope)
                return None if status is None else not status
            case Chain():
                return self._status_of_chain(node, scope)
            case Block() if len(node.items) == 1:
                return self._status(node.items[0], scope)
            case _:
                return None

    def _status_of_chain(self, node: Chain, scope: Scope) -> bool | None:
        status = self._status(node.first, scope)
        for operator, item in node.rest:
            other = self._status(item, scope)
            decides = operator == "||"
            if decides in {status, other}:
                status = decides
            elif status is None or other is None:
                status = None
        return status

    def _branches(self, node: Branches, scope: Scope) -> Scope:
        ends: list[Scope] = []
        is_open = True
        for condition, body in node.arms:
            status: bool | None = True
            if condition is not None:
                status = self._status(condition, scope)
                scope = self._follow(condition, scope if is_open else _dead(scope))
            enters = is_open and status is not False
            end = self._follow(body, scope.copy() if enters else _dead(scope))
            if enters:
                ends.append(end)
            is_open &= status is not True
        return self._joined([*ends, scope] if is_open else ends)

    def _joined(self, ends: list[Scope]) -> Scope:
        result = ends[0]
        for end in ends[1:]:
            result = joined(result, end, self.effects.serials)
        return result

    def _case(self, node: Case, scope: Scope) -> Scope:
        resolver = Resolver(scope, self.text)
        text = resolver.text_of(node.word)
        ends: list[Scope] = []
        is_open = True
        for patterns, body in node.arms:
            fits = _fits(text, patterns, resolver)
            enters = is_open and fits is not False
            end = self._follow(body, scope.copy() if enters else _dead(scope))
            if enters:
                ends.append(end)
            is_open &= fits is not True
        return self._joined([*ends, scope] if is_open else ends)

    def _loop(self, node: Loop, scope: Scope) -> Scope:
        words = None
        if node.words is not None:
            words = Resolver(scope, self.text).words(node.words)
        if words == ():
            self._follow(node.body, _dead(scope))
            return scope
        is_once = words is not None and len(words) == 1 and words[0].text is not None
        if node.variable is not None and words is not None and is_once:
            self.effects.put(node.variable, words, scope)
            return self._follow(node.body, scope)
        changed = dict.fromkeys(names_set_in(replace(node, variable=None), self._functions))
        before, inside = scope.copy(), scope.copy()
        for name in changed:
            inside.put(name, varying(next(self.effects.serials), [before.get(name)]))
        if node.variable is not None:
            known = self.effects.looped(node.variable, words or (), is_known=words is not None)
            inside.put(node.variable, known)
            changed[node.variable] = None
        if node.condition is not None:
            inside = self._follow(node.condition, inside)
        end = self._follow(node.body, inside.copy())
        end.is_dead = before.is_dead
        result = joined(before, end, self.effects.serials)
        for name in changed:
            ways = [before.get(name), end.get(name)]
            result.put(name, varying(next(self.effects.serials), ways))
        return result

    def _command(self, command: Command, scope: Scope) -> Scope:
        self._steps += 1
        known, here = self.scopes.get(id(command)), scope.copy()
        if known is not None:
            here = joined(known, here, self.effects.serials)
        self.scopes[id(command)] = here
        if not command.words or command.words[0].text in DECLARES:
            self.effects.assign(command, scope)
        self.effects.set_defaults(command, scope)
        words = Resolver(scope, self.text).words(command.words)
        if not words:
            return scope
        function = self._functions.get(words[0].text or "")
        if function is not None:
            return self._call(function, words[1:], scope)
        self.effects.run(command, words, scope)
        return scope

    def _call(self, function: Function, arguments: tuple[Word, ...] | None, scope: Scope) -> Scope:
        """Follow the body of a function; None stands for arguments that are not known."""
        self._called.add(function.name)
        if id(function) in self._active or self._steps > _MOST_STEPS:
            self.effects.vary(names_set_in(function.body, self._functions), scope)
            return scope
        kept = {name: scope.get(name) for name in (*ARGUMENTS, *local_names(function.body))}
        if arguments is None:
            self.effects.vary(ARGUMENTS, scope)
        else:
            self.effects.give_arguments(arguments, scope)
        self._active.add(id(function))
        was_dead = scope.is_dead
        scope = self._follow(function.body, scope)
        self._active.discard(id(function))
        scope.is_dead = was_dead
        for name, binding in kept.items():
            if binding is None:
                scope.drop(name)
            else:
                scope.put(name, binding)
        return scope


_WAYS: dict[type, Callable[..., Scope]] = {
    Apart: Walker._apart,
    Arithmetic: Walker._arithmetic,
    Block: Walker._block,
    Branches: Walker._branches,
    Case: Walker._case,
    Chain: Walker._chain,
    Command: Walker._command,
    Function: Walker._function,
    Loop: Walker._loop,
    Negated: Walker._negated,
}


def _dead(scope: Scope) -> Scope:
    """Return a scope for what the text shows not to run."""
    result = scope.copy()
    result.is_dead = True
    return result


def _only_assigns(command: Command) -> bool:
    """Say whether a command sets variables and runs nothing, so that it succeeds."""
    parts = [part for item in command.assignments for word in item.values for part in word.parts]
    return not any(
        part.kind is PartKind.OPAQUE and not part.text.startswith(("${", "$((")) for part in parts
    )


def _fits(text: str | None, patterns: tuple[Word, ...], resolver: Resolver) -> bool | None:
    """Say whether one of the patterns of a `case` fits, None where the text does not show it."""
    result: bool | None = False
    for word in patterns:
        pattern = pattern_of(resolver.parts_of(word))
        if pattern == ".*":
            return True
        if text is None or pattern is None:
            result = None
        elif re.fullmatch(pattern, text, re.DOTALL):
            return True if result is False else None
    return result

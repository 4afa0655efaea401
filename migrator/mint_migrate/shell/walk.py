"""Follows a shell script in the order in which it runs, and notes what its variables are.

Nothing is executed. Where the text does not show which way a script goes, all ways are followed and
what they disagree on is not known. A loop's body is followed once, with what it changes not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from mint_migrate.shell.arithmetic import evaluate
from mint_migrate.shell.bindings import Binding, Scope, joined, varying
from mint_migrate.shell.conditions import decided
from mint_migrate.shell.effects import Effects
from mint_migrate.shell.expansions import pattern_of
from mint_migrate.shell.pages import Page, Pages
from mint_migrate.shell.paths import below
from mint_migrate.shell.resolve import Resolver
from mint_migrate.shell.setters import (
    ARGUMENTS,
    SOURCES,
    functions_in,
    local_names,
    names_in_arithmetic,
    names_set_in,
)
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
_DEEPEST = 40
"""Functions and sourced files that are followed within each other at most."""
_SOURCED = re.compile(r"\.(?:ba|z)?sh$|\.env$|\.conf$|(?:^|/)\.?env\b[^/]*$")
"""Names of files that are there to be sourced."""


class Walker:
    """Follows one script."""

    def __init__(self, pages: Pages) -> None:
        """Take the script, to which the files that it sources are added."""
        self.pages = pages
        self.effects = Effects(pages)
        self.scopes: dict[int, Scope] = {}
        """What is known where a command runs, by its identity; of several runs what they share."""
        self._functions: dict[str, Function] = {}
        self._called: set[str] = set()
        self._steps = 0
        self._active: set[int] = set()
        """Identities of the functions and sourced files that are being followed."""
        self._returns: list[list[Scope]] = []
        """Of each of those, what is known where it returns before its end."""
        self._before_loops: list[Scope] = []

    @property
    def text(self) -> str:
        """Return the whole text, from which words are quoted in reports."""
        return self.pages.text

    def follow(self, root: Node, scope: Scope) -> Scope:
        """Return what is known at the end of a script."""
        own = {id(node) for node in functions_in(root)}
        end = self._follow(root, scope)
        for name, function in list(self._functions.items()):
            if name not in self._called:
                # What a sourced file offers to all its users may have none here.
                self._call(function, None, end.copy() if id(function) in own else _dead(end))
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
                status = decided(node.words, Resolver(scope, self.text))
                return self._is_there(node, scope) if status is None else status
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

    def _is_there(self, command: Command, scope: Scope) -> bool | None:
        """Return whether a test asks for a file that can be sourced and is there."""
        texts = [word.text for word in command.words]
        is_negated = texts[1:2] == ["!"]
        words = command.words[1 + is_negated : len(texts) - (texts[0] != "test")]
        if texts[0] not in {"[", "[[", "test"} or len(words) != 2:
            return None
        if words[0].text not in {"-e", "-f", "-r", "-s"}:
            return None
        path = self._file_of(words[1], scope)
        is_script = path is not None and _SOURCED.search(path) is not None
        return not is_negated if path is not None and is_script and self.pages.has(path) else None

    def _file_of(self, word: Word, scope: Scope) -> str | None:
        path = self.effects.path_of(word, scope)
        return None if path is None else below(path, scope)

    def _page_of(self, command: Command, scope: Scope) -> Page | None:
        """Return the file that a command sources, None where it is not known or not there."""
        words = Resolver(scope, self.text).words(command.words)
        if len(words) < 2 or words[0].text not in SOURCES:
            return None
        path = self._file_of(words[1], scope)
        return None if path is None else self.pages.page(path)

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
        before, inside = scope.copy(), scope.copy()
        changed = dict.fromkeys(self._names_set_in(replace(node, variable=None), before))
        for name in changed:
            inside.put(name, varying(next(self.effects.serials), [before.get(name)]))
        if node.variable is not None:
            known = self.effects.looped(node.variable, words or (), is_known=words is not None)
            inside.put(node.variable, known)
            changed[node.variable] = None
        if node.condition is not None:
            inside = self._follow(node.condition, inside)
        self._before_loops.append(before)
        end = self._follow(node.body, inside.copy())
        self._before_loops.pop()
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
        resolver = Resolver(scope, self.text)
        words = resolver.words(command.words)
        if command.words:
            for item in command.assignments:
                resolver.words(item.values)
        self.effects.set_defaults(resolver, scope)
        if not words:
            return scope
        program = words[0].text or ""
        if program in self._functions:
            return self._call(self._functions[program], words[1:], scope)
        if program in SOURCES and len(words) > 1:
            return self._source(command, words, scope)
        if program == "return" and self._returns and not scope.is_dead:
            self._returns[-1].append(scope.copy())
        self.effects.run(command, words, scope)
        return scope

    def _source(self, command: Command, words: tuple[Word, ...], scope: Scope) -> Scope:
        """Follow the file that a command sources."""
        page = self._page_of(command, scope)
        if page is not None and self._before_loops:
            # What it sets has to be known where the loop starts.
            known = self._page_of(command, self._before_loops[0])
            page = page if page is known else None
        if page is None:
            self.pages.unread[command.start] = words[1].source
            self.effects.run(command, words, scope)
            return scope
        if id(page) in self._active or self._is_deep():
            self.effects.vary(self._names_set_in(page.script.root, scope), scope)
            return scope
        if command.end not in page.sources:
            page.sources.append(command.end)
        if not words[2:]:
            return self._entered(page, page.script.root, scope)
        kept = {name: scope.get(name) for name in ARGUMENTS}
        given = len(self.effects.given)
        self.effects.give_arguments(words[2:], scope)
        end = self._entered(page, page.script.root, scope)
        if len(self.effects.given) == given:
            return _restored(end, kept)
        # What a file sets with `set --` stays, even where it was given arguments of its own.
        if end.serial("@") not in self.effects.given:
            self.effects.vary(ARGUMENTS, end)
        return end

    def _is_deep(self) -> bool:
        return self._steps > _MOST_STEPS or len(self._active) > _DEEPEST

    def _names_set_in(self, node: Node, scope: Scope) -> list[str]:
        """Return the names that a part of a script may set, in files that it sources, too."""

        def sourced(command: Command) -> Node | None:
            page = self._page_of(command, scope)
            return None if page is None else page.script.root

        return list(names_set_in(node, self._functions, sourced))

    def _entered(self, owner: Function | Page, node: Node, scope: Scope) -> Scope:
        """Follow what may return before its end; return what is known behind it."""
        self._active.add(id(owner))
        self._returns.append([])
        scope = self._follow(node, scope)
        self._active.discard(id(owner))
        return self._joined([scope, *self._returns.pop()])

    def _call(self, function: Function, arguments: tuple[Word, ...] | None, scope: Scope) -> Scope:
        """Follow the body of a function; None stands for arguments that are not known."""
        self._called.add(function.name)
        if id(function) in self._active or self._is_deep():
            self.effects.vary(self._names_set_in(function.body, scope), scope)
            return scope
        kept = {name: scope.get(name) for name in (*ARGUMENTS, *local_names(function.body))}
        if arguments is None:
            self.effects.vary(ARGUMENTS, scope)
        else:
            self.effects.give_arguments(arguments, scope)
        return _restored(self._entered(function, function.body, scope), kept)


def _restored(scope: Scope, kept: Mapping[str, Binding | None]) -> Scope:
    """Give variables back the values they had."""
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

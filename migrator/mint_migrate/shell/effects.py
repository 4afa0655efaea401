"""What the commands of a shell script do to its variables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from mint_migrate.shell.bindings import Binding, Scope, varying
from mint_migrate.shell.fields import kept, without_braces
from mint_migrate.shell.pages import Pages
from mint_migrate.shell.paths import entered, path_of
from mint_migrate.shell.resolve import Resolver
from mint_migrate.shell.setters import (
    ARGUMENTS,
    DIRECTORY,
    NAMING,
    SOURCES,
    names_given,
)
from mint_migrate.shell.syntax import Assignment, Command
from mint_migrate.shell.words import Part, PartKind, Place, Word

_BLANKS = " \t\n"
_SECRET = re.compile(r"(?:^|_)(?:KEY|PASS|PASSWD|PASSWORD|SECRET|TOKEN)$", re.IGNORECASE)
"""Names of what sourced files keep out of scripts: it is read where the script runs."""


class Effects:
    """Changes scopes as commands do, and collects what variables are given."""

    def __init__(self, pages: Pages) -> None:
        """Take the script, with the files that it sources."""
        self.pages = pages
        self.serials = count(1)
        self.values: dict[str, dict[str, None]] = {}
        """The texts that a variable is given, in order."""
        self.unknown: set[str] = set()
        """Variables that are given something that is not text."""
        self.names: set[str] = set()
        """Variables that are given anything."""
        self.given: set[int] = set()
        """Which values of `$@` a `set --` gives."""

    @property
    def text(self) -> str:
        """Return the whole text, from which words are quoted in reports."""
        return self.pages.text

    def path_of(self, word: Word, scope: Scope) -> str | None:
        """Return what a word says as a path, None where the text does not show it."""
        page = self.pages.at(word.parts[0].places[0].start if word.parts[0].places else 0)
        return path_of(word, scope, None if page is None else page.path)

    def assign(self, command: Command, scope: Scope) -> None:
        """Assign what stands alone, or behind `export` and the like."""
        program = command.words[0].text if command.words else ""
        names = [item.name for item in command.assignments]
        for item in command.assignments:
            if program and not item.is_array:
                # An assignment that is a word has braces: `A={a,b}` assigns twice.
                item = replace(item, values=tuple(without_braces(item.values[0])[-1:]))
            self._set(item, scope)
        options = [word.text or "" for word in command.words[1:] if word.lead.startswith("-")]
        for word in command.words[1:]:
            name, equals, _ = word.lead.partition("=")
            if not name.isidentifier():
                continue
            names.append(name)
            if equals:
                value = Resolver(scope, self.text).value_of(word).after(len(name) + 1)
                self.put(name, (value,), scope)
        if program == "export" or any("x" in option for option in options):
            scope.exported |= frozenset(names)

    def put(
        self, name: str, words: tuple[Word, ...], scope: Scope, *, is_array: bool = False
    ) -> None:
        """Give a variable a value."""
        self.names.add(name)
        if words and _SECRET.search(name) and self.pages.at(words[0].start) is not None:
            self.vary((name,), scope)
            return
        if not is_array and not scope.is_dead:
            self._note(name, words)
        is_path = len(words) == 1 and not is_array and words[0].text is None
        path = self.path_of(words[0], scope) if is_path else None
        serial = next(self.serials)
        scope.put(name, Binding(serial=serial, words=words, is_array=is_array, path=path))

    def vary(self, names: Iterable[str], scope: Scope) -> None:
        """Give variables values that the text does not show."""
        for name in names:
            self.names.add(name)
            self.unknown.add(name)
            scope.put(name, varying(next(self.serials), [scope.get(name)]))

    def looped(self, name: str, words: Iterable[Word], *, is_known: bool) -> Binding:
        """Return the variable of a loop: one of the words, as far as they are known."""
        self.names.add(name)
        texts = [word.text for word in words]
        known = dict.fromkeys(text for text in texts if text is not None)
        self.values.setdefault(name, {}).update(known)
        if not is_known or None in texts:
            self.unknown.add(name)
        return Binding(serial=next(self.serials), varies=True, candidates=tuple(known))

    def set_defaults(self, resolver: Resolver, scope: Scope) -> None:
        """Set what `${NAME:=text}` in the words that *resolver* has read sets."""
        for name, word in resolver.defaults:
            if word.text is not None:
                self.put(name, (word,), scope)
                continue
            self.names.add(name)
            self.unknown.add(name)
            scope.put(name, Binding(serial=next(self.serials), words=(word,)))
        resolver.defaults.clear()

    def run(self, command: Command, words: tuple[Word, ...], scope: Scope) -> None:
        """Do what a command of the shell itself does; other commands change no variable."""
        program = words[0].text or ""
        if program in {"exit", "return"} or (program == "exec" and len(words) > 1):
            scope.is_dead = True
        elif program in SOURCES or program == "eval":
            scope.is_open = True
        elif program in DIRECTORY:
            self._enter(words, scope)
        elif program == "set":
            self._set_options(words, scope)
        elif program == "shift":
            self._shift(words, scope)
        elif program in NAMING:
            self._set_named(program, command, scope)

    def give_arguments(self, words: tuple[Word, ...], scope: Scope) -> None:
        """Set `$@`, `$1` and so on."""
        if any(part.kind is PartKind.ARRAY for word in words for part in word.parts):
            self.vary(ARGUMENTS, scope)
            return
        scope.put("@", Binding(serial=next(self.serials), words=words, is_array=True))
        for number in range(1, 10):
            value = words[number - 1 : number]
            scope.put(str(number), Binding(serial=next(self.serials), words=value))

    def _enter(self, words: tuple[Word, ...], scope: Scope) -> None:
        """Change the folder; the shell's name for it is not known."""
        before = scope.copy()
        self.vary(("PWD",), scope)
        path = self.path_of(words[1], before) if len(words) == 2 else None
        folder = None if path is None else entered(path, before)
        scope.put("PWD", replace(scope.bindings["PWD"], path=folder))

    def _set(self, item: Assignment, scope: Scope) -> None:
        resolver = Resolver(scope, self.text)
        before = scope.get(item.name)
        is_unknown = item.is_element or (
            item.appends and (before is None or before.varies or before.is_array != item.is_array)
        )
        words = item.values
        if item.is_array and not is_unknown:
            words = resolver.words(words)
        values = tuple(map(resolver.value_of, words))
        # `A=${A:=x}y` sets A twice.
        self.set_defaults(resolver, scope)
        if is_unknown:
            if not item.is_array and not item.is_element:
                self._note(item.name, values)
            self.vary((item.name,), scope)
        elif item.is_array:
            earlier = before.words if item.appends and before is not None else ()
            self.put(item.name, (*earlier, *values), scope, is_array=True)
        else:
            (value,) = values
            if item.appends and before is not None and before.words:
                value = replace(value, parts=kept([*before.words[0].parts, *value.parts]))
            self.put(item.name, (value,), scope)

    def _note(self, name: str, words: tuple[Word, ...]) -> None:
        text = words[0].text if words else ""
        if text is None:
            self.unknown.add(name)
        else:
            self.values.setdefault(name, {})[text] = None

    def _set_options(self, words: tuple[Word, ...], scope: Scope) -> None:
        texts = [word.text or "" for word in words[1:]]
        if "-a" in texts or "allexport" in texts:
            scope.exports_all = True
        if "+a" in texts:
            scope.exports_all = False
        if "--" in texts:
            self.give_arguments(words[texts.index("--") + 2 :], scope)
            self.given.add(scope.serial("@"))

    def _shift(self, words: tuple[Word, ...], scope: Scope) -> None:
        arguments = scope.get("@")
        number = words[1].text if len(words) > 1 else "1"
        if arguments is None or arguments.varies or not (number or "").isdigit():
            self.vary(ARGUMENTS, scope)
        else:
            self.give_arguments(arguments.words[int(number or 1) :], scope)

    def _set_named(self, program: str, command: Command, scope: Scope) -> None:
        names = tuple(names_given(command))
        if program == "unset":
            for name in names:
                scope.put(name, Binding(serial=next(self.serials)))
        elif program == "read":
            self._read(command, names, scope)
        else:
            self.vary(names, scope)

    def _read(self, command: Command, names: tuple[str, ...], scope: Scope) -> None:
        """Set a variable to a here-document; any other `read` sets what nobody knows."""
        bodies = [item.body for item in command.redirections if item.body is not None]
        options = [word.text or "" for word in command.words[1:]]
        takes_all = any(option.startswith("-") and option.endswith("d") for option in options)
        if len(names) == 1 and len(bodies) == 1 and takes_all:
            value = Resolver(scope, self.text).value_of(bodies[0])
            self.put(names[0], (_stripped(value),), scope)
        else:
            self.vary(names, scope)


def _stripped(word: Word) -> Word:
    """Return a value without blanks at its ends, as `read` leaves them out."""
    parts = list(word.parts)
    while parts and parts[0].kind is PartKind.TEXT:
        num_blanks = len(parts[0].text) - len(parts[0].text.lstrip(_BLANKS))
        parts[0] = _trimmed(parts[0], num_blanks, 0)
        if parts[0].text:
            break
        parts.pop(0)
    while parts and parts[-1].kind is PartKind.TEXT:
        num_blanks = len(parts[-1].text) - len(parts[-1].text.rstrip(_BLANKS))
        parts[-1] = _trimmed(parts[-1], 0, num_blanks)
        if parts[-1].text:
            break
        parts.pop()
    return replace(word, parts=kept(parts))


def _trimmed(part: Part, before: int, behind: int) -> Part:
    text = part.text[before : len(part.text) - behind]
    first, *outer = part.places
    if first.end - first.start == len(part.text):
        first = Place(first.word, first.start + before, first.end - behind)
    return replace(part, text=text, places=(first, *outer))

"""Fills in what is known of the variables in words, at one point of a script.

A variable is replaced by its value where that is text, or text and variables of the environment.
Any other keeps its name: what only the shell knows is computed once, where the script does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mint_migrate.shell.bindings import Binding, Scope
from mint_migrate.shell.expansions import expanded, output_of
from mint_migrate.shell.fields import kept, merged, split_fields, without_braces, word_of
from mint_migrate.shell.grammar import parse
from mint_migrate.shell.syntax import Command
from mint_migrate.shell.words import Part, PartKind, Word, default_word

_DEEPEST = 20
_DEMANDED = re.compile(r"\$\{(?P<name>\w+):?\?.*\}", re.DOTALL)
_ALTERNATIVE = re.compile(r"\$\{(?P<name>\w+)(?P<operator>:?\+)(?P<word>.*)\}", re.DOTALL)
_OPTION = re.compile(r"-|[+~]*[A-Za-z_][\w.]*=")


class Resolver:
    """Reads words with the variables of one scope."""

    def __init__(self, scope: Scope, text: str, depth: int = 0) -> None:
        """Take what is known, and the script, from which words are quoted in reports."""
        self.scope = scope
        self.text = text
        self.defaults: list[tuple[str, Word]] = []
        """What `${NAME:=text}` in the words that were read sets, in order."""
        self._depth = depth

    def text_of(self, word: Word) -> str | None:
        """Return the text of a word that is not split, None where it is not known."""
        parts = self.parts_of(word)
        if all(part.kind is PartKind.TEXT for part in parts):
            return "".join(part.text for part in parts)
        return None

    def parts_of(self, word: Word) -> tuple[Part, ...]:
        """Return a word with what is known of its parts."""
        return tuple(each for part in word.parts for each in self._known(part))

    def value_of(self, word: Word) -> Word:
        """Return a word as a variable keeps it: nothing in it separates words yet."""
        known = (each for part in word.parts for each in self._known(part, is_kept=True))
        return replace(word, parts=kept(replace(part, splits=False) for part in known))

    def words(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Return the words that a program is given."""
        return tuple(
            each for word in words for raw in without_braces(word) for each in self._spread(raw)
        )

    def printed(self, source: str) -> str | None:
        """Return what a substituted command prints, None where that is not known."""
        if self._depth > _DEEPEST:
            return None
        commands = parse(source).root.items
        if len(commands) != 1 or not isinstance(commands[0], Command) or commands[0].assignments:
            return None
        command = commands[0]
        inner = Resolver(self.scope, source, self._depth + 1)
        texts = [word.text for word in inner.words(command.words)]
        document = [item.body for item in command.redirections if item.body is not None]
        if texts == ["cat"] and len(document) == len(command.redirections) == 1:
            text = inner.text_of(document[0]) if document[0] is not None else None
            return None if text is None else text.rstrip("\n")
        known = [text for text in texts if text is not None]
        if command.redirections or len(known) != len(texts):
            return None
        return output_of(known)

    def _known(self, part: Part, *, is_kept: bool = False) -> Iterator[Part]:
        """Yield what is known of a part; a value that is kept is taken with what is not text."""
        if part.kind is PartKind.VARIABLE:
            found = list(self._variable(part, is_kept=is_kept))
            if part.operator in {":=", "="}:
                self._set_default(part)
            yield from found
            return
        if part.kind is PartKind.ARRAY:
            yield from self._joined(part)
            return
        if part.kind is PartKind.OPAQUE and self._depth <= _DEEPEST:
            demanded = _DEMANDED.fullmatch(part.text)
            if demanded is not None:
                name = demanded["name"]
                yield from self._variable(replace(part, kind=PartKind.VARIABLE, text=name))
                return
            alternative = self._alternative(part)
            if alternative is not None:
                yield from alternative
                return
            text = expanded(part.text, self, is_quoted=part.is_quoted)
            if text is not None:
                yield replace(part, kind=PartKind.TEXT, text=text, splits=not part.is_quoted)
                return
        yield part

    def _joined(self, part: Part) -> Iterator[Part]:
        """Return the elements of an array as one text."""
        binding = self.scope.get(part.text)
        words = None if binding is None or binding.varies else binding.words
        if words is None or not all(self._is_text_and_environment(word.parts) for word in words):
            yield part
            return
        for number, word in enumerate(words):
            if number:
                yield _inserted(Part(kind=PartKind.TEXT, text=" "), part)
            yield from (_inserted(each, part) for each in word.parts)

    def _variable(self, part: Part, *, is_kept: bool = False) -> Iterator[Part]:
        binding = self.scope.get(part.text)
        is_set = binding is not None and (bool(binding.words) or binding.varies)
        if is_set and binding is not None and not binding.varies:
            value = binding.words[0].parts
            is_empty = binding.words[0].text == ""
            if not (is_empty and part.operator.startswith(":")):
                if (is_kept and _is_list(value)) or self._is_text_and_environment(value):
                    yield from (_inserted(each, part) for each in value)
                else:
                    yield self._named(part)
                return
        elif binding is None or is_set:
            yield self._named(part)
            return
        # It is unset, or empty where that counts as unset.
        fallback = part.fallback or (
            (Part(kind=PartKind.TEXT, text=part.default or "", is_quoted=part.is_quoted),)
        )
        yield from self._standing_in(fallback, part)

    def _set_default(self, part: Part) -> None:
        """Give a variable its default, which counts from here on: in the next word already."""
        place = part.places[0]
        value = merged(self._variable(part))
        word = Word(start=place.start, end=place.end, source="", parts=value)
        self.defaults.append((part.text, word))
        self.scope = self.scope.copy()
        # What only this command sees has a number that no other value has.
        self.scope.put(part.text, Binding(serial=-len(self.defaults), words=(word,)))

    def _alternative(self, part: Part) -> list[Part] | None:
        """Return what `${NAME:+word}` is, None where it is another expansion or not known."""
        match = _ALTERNATIVE.fullmatch(part.text)
        place = part.places[0]
        if match is None or place.end - place.start != len(part.text):
            return None
        binding = self.scope.get(match["name"])
        if binding is None or binding.varies:
            return None
        value = binding.words[0] if binding.words else None
        counts = value is not None
        if value is not None and match["operator"] == ":+":
            counts = any(each.text for each in value.parts if each.kind is PartKind.TEXT)
            if not counts and value.text is None:
                return None
        if not counts:
            return [replace(part, kind=PartKind.TEXT, text="", splits=not part.is_quoted)]
        offsets = range(place.start + match.start("word"), place.end)
        word = default_word(match["word"], offsets, is_quoted=part.is_quoted)
        return list(self._standing_in(word.parts, part))

    def _standing_in(self, parts: Sequence[Part], around: Part) -> Iterator[Part]:
        """Yield what is known of the word of an expansion, which stands for a variable there."""
        for part in parts:
            for item in self._known(part):
                is_quoted = around.is_quoted or part.is_quoted
                yield _inserted(item, replace(around, is_quoted=is_quoted))

    def _named(self, part: Part) -> Part:
        """Return a variable that keeps its name, with what is known of what stands for it."""
        name = part.text
        fallback = merged(each for item in part.fallback for each in self._known(item))
        has_text = len(fallback) == 1 and fallback[0].kind is PartKind.TEXT and part.fallback
        return replace(
            part,
            serial=self.scope.serial(name),
            is_inherited=self.scope.is_exported(name),
            default=fallback[0].text if has_text else part.default,
            fallback=() if has_text or not part.fallback else fallback,
        )

    def _is_text_and_environment(self, parts: Sequence[Part]) -> bool:
        return all(
            part.kind is PartKind.TEXT or (part.is_inherited and self.is_current(part))
            for part in parts
        )

    def is_current(self, part: Part) -> bool:
        """Say whether a part of a variable's value still means the same here."""
        if part.kind is not PartKind.VARIABLE:
            return part.kind is PartKind.TEXT
        binding = self.scope.get(part.text)
        if part.serial != (0 if binding is None else binding.serial):
            return binding is not None and _defaults_itself(binding, part)
        return all(map(self.is_current, part.fallback))

    def _spread(self, word: Word) -> Iterator[Word]:
        array = next((part for part in word.parts if part.kind is PartKind.ARRAY), None)
        if array is not None:
            yield from self._spread_array(word, array)
            return
        parts = list(self._spreadable(word))
        fields = split_fields(parts)
        raw = replace(word, site=None)
        if len(fields) == 1:
            yield replace(raw, parts=fields[0], source=self.text[raw.start : raw.end])
            return
        made = [word_of(field, raw, self.text) for field in fields]
        if not any(_OPTION.match(each.lead) for each in made):
            made = [replace(raw, parts=field) for field in fields]
        yield from made

    def _spreadable(self, word: Word) -> Iterator[Part]:
        """Return the parts of a word; of a list of options also what is not known of it."""
        for part in word.parts:
            known = list(self._known(part))
            binding = self.scope.get(part.text)
            is_whole = len(known) == 1 and known[0].kind is PartKind.VARIABLE
            if part.is_quoted or not is_whole or binding is None or not binding.words:
                yield from known
                continue
            value = binding.words[0].parts
            if _is_list(value) and not binding.is_array:
                yield from self._from_list(part, value)
            else:
                yield from known

    def _from_list(self, part: Part, value: Sequence[Part]) -> Iterator[Part]:
        """Return a value that holds several words; the shell counts those that it computes."""
        fields = split_fields(_inserted(each, part) for each in value)
        unknown = [field for field in fields if not all(map(self.is_current, field))]
        if any(field[0].kind is not PartKind.TEXT for field in unknown):
            # It may be no word at all, or several.
            yield self._named(part)
            return
        for number, field in enumerate(fields, start=1):
            if number > 1:
                yield _inserted(Part(kind=PartKind.TEXT, text=" "), part)
            yield from self._element(field, f'$(set -- ${part.text}; echo "${{{number}}}")')

    def _element(self, parts: tuple[Part, ...], source: str) -> Iterator[Part]:
        """Return one word of several; what only the shell knows of it is taken from *source*."""
        if all(map(self.is_current, parts)):
            yield from parts
            return
        lead = parts[0] if parts[0].kind is PartKind.TEXT else None
        name = re.match(r"[^=]*=", lead.text) if lead is not None else None
        if lead is not None and name is not None:
            yield replace(lead, text=name[0])
            source = source.replace("}", "#*=}", 1)
        places = next(part.places for part in parts if not self.is_current(part))
        yield Part(kind=PartKind.OPAQUE, text=source, is_quoted=True, places=places)

    def _spread_array(self, word: Word, array: Part) -> Iterator[Word]:
        binding = self.scope.get(array.text)
        if binding is None or binding.varies:
            yield replace(word, parts=merged(self.parts_of(word)), site=None)
            return
        index = word.parts.index(array)
        before = Word(start=0, end=0, source="", parts=word.parts[:index])
        after = Word(start=0, end=0, source="", parts=word.parts[index + 1 :])
        elements = list(self._elements(binding, array))
        is_alone = not any(part.text for part in (*before.parts, *after.parts))
        if not elements:
            elements = [] if is_alone else [()]
        for number, element in enumerate(elements):
            parts = [
                *(self.parts_of(before) if number == 0 else ()),
                *element,
                *(self.parts_of(after) if number == len(elements) - 1 else ()),
            ]
            fields = split_fields(parts)
            if len(fields) == 1 and is_alone:
                own = binding.words[number]
                source = self.text[own.start : own.end]
                site = (word.start, word.end)
                yield replace(own, parts=fields[0], site=site, source=source)
                continue
            for field in fields:
                yield word_of(field, replace(word, site=None), self.text)

    def _elements(self, binding: Binding, array: Part) -> Iterator[tuple[Part, ...]]:
        name = array.text
        for number, element in enumerate(binding.words):
            source = f"${{{number + 1}}}" if name == "@" else f"${{{name}[{number}]}}"
            parts = tuple(self._element(element.parts, source))
            yield tuple(_inserted(part, array) for part in parts)


def _is_list(parts: Sequence[Part]) -> bool:
    """Say whether a value holds several words."""
    return any(part.kind is PartKind.TEXT and set(part.text) & set(" \t\n") for part in parts)


def _defaults_itself(binding: Binding, part: Part) -> bool:
    """Say whether a variable was set to `${NAME:-text}` of its own name, which *part* is."""
    if binding.varies or len(binding.words) != 1 or len(binding.words[0].parts) != 1:
        return False
    own = binding.words[0].parts[0]
    is_same = (own.kind, own.text, own.default) == (part.kind, part.text, part.default)
    has_default = bool(part.operator) and own.fallback == part.fallback
    return is_same and has_default and own.serial == part.serial


def _inserted(part: Part, around: Part) -> Part:
    """Return a part of a variable's value as a part of the word that names the variable."""
    is_text = part.kind is PartKind.TEXT
    return replace(
        part,
        splits=is_text and not around.is_quoted,
        is_quoted=around.is_quoted,
        places=(*part.places, *around.places),
    )

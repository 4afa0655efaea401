"""Reads the simple commands of a shell script: words, assignments, redirections, comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mint_migrate.shell.brackets import end_of_bracket, end_of_heredoc, unquoted_mark
from mint_migrate.shell.syntax import Assignment, Command, Redirection, Script
from mint_migrate.shell.words import Part, PartKind, Place, Word, WordReader

DECLARES = frozenset({"export", "declare", "local", "readonly", "typeset"})
_REDIRECTION = re.compile(r"(?:\d*|\{\w+\})(?:&>>?|>>|>&|<&|>\||<>|<<<|<<-?|>|<)")
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<key>\[[^\]\n]*\])?(?P<add>\+?)=")
_BLANKS = re.compile(r"(?:[ \t\r]|\\\r?\n)+")
_COMMENT = re.compile(r"#[^\n]*")


class SimpleParser:
    """Reads one text up to the next simple command; the structure around it is the grammar's."""

    def __init__(self, text: str, offsets: Sequence[int] | None) -> None:
        self.text = text
        self.reader = WordReader(text, offsets)
        self.script = Script()
        self._documents: list[Redirection] = []
        self._depth = 0

    @property
    def position(self) -> int:
        return self.reader.position

    @position.setter
    def position(self, value: int) -> None:
        self.reader.position = value

    def _looking_at(self, text: str) -> bool:
        return self.text.startswith(text, self.position)

    def _blank(self) -> None:
        """Skip blanks, lines that go on, and a comment."""
        match = _BLANKS.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
        comment = _COMMENT.match(self.text, self.position)
        before = self.text[self.position - 1 : self.position]
        if comment is not None and (not before or before in " \t\r\n;&|()"):
            self.position = comment.end()

    def _newline(self) -> None:
        self.position += 1
        documents, self._documents = self._documents, []
        for document in documents:
            self._document(document)

    def _document(self, document: Redirection) -> None:
        tabs = document.operator.endswith("-")
        mark = document.target.source
        start = self.position
        end, behind = end_of_heredoc(self.text, start, unquoted_mark(mark), tabs=tabs)
        self.position = behind
        kept = [
            index
            for index in range(start, end)
            if not (tabs and self.text[index] == "\t" and _is_leading(self.text, index))
        ]
        offsets = [self.reader.at(index) for index in (*kept, end)]
        body = "".join(self.text[index] for index in kept)
        if unquoted_mark(mark) != mark:
            place = Place(offsets[0], offsets[0], offsets[-1])
            part = Part(kind=PartKind.TEXT, text=body, is_quoted=True, places=(place,))
            document.body = Word(
                start=offsets[0], end=offsets[-1], source=body, parts=(part,), is_quoted=True
            )
        else:
            document.body = WordReader(body, offsets).body(is_quoted=True)

    def _redirections(self) -> list[Redirection]:
        """Read the redirections that stand here."""
        found: list[Redirection] = []
        while True:
            self._blank()
            match = _REDIRECTION.match(self.text, self.position)
            if match is None or self._is_at_process():
                return found
            self.position = match.end()
            self._blank()
            # `> >(tee log)`: what another command reads is no argument.
            target = self._process() if self._is_at_process() else self.reader.word()
            operator = match[0].lstrip("0123456789")
            item = Redirection(operator=operator, target=target)
            found.append(item)
            if operator in {"<<", "<<-"} and target.source:
                self._documents.append(item)

    def _is_at_process(self) -> bool:
        return self._looking_at("<(") or self._looking_at(">(")

    def _process(self) -> Word:
        """Read `<(...)` or `>(...)`."""
        return self._raw(end_of_bracket(self.text, self.position + 1, ")"), PartKind.OPAQUE)

    def _raw(self, end: int, kind: PartKind = PartKind.TEXT) -> Word:
        start = self.position
        source = self.text[start:end]
        place = Place(self._at(start), self._at(start), self._at(end))
        self.position = end
        part = Part(kind=kind, text=source, places=(place,))
        return Word(start=place.start, end=place.end, source=source, parts=(part,))

    def _at(self, position: int) -> int:
        return self.reader.at(position)

    def _kept(self, command: Command) -> Command:
        self.script.commands.append(command)
        return command

    def _simple(self) -> Command:
        start = self.position
        end = start
        words: list[Word] = []
        own: list[Assignment] = []
        redirections: list[Redirection] = []
        while self.position < len(self.text):
            self._blank()
            found = self._redirections()
            redirections += found
            before = self.position
            if before >= len(self.text) or self.text[before] in "\n;&|":
                break
            if self.text[before] in "()<>":
                if not self._is_at_process():
                    break
                words.append(self._process())
            elif not found:
                self._take(words, own)
            end = max(end, self.position)
        return self._kept(
            Command(
                words=tuple(words),
                assignments=tuple(own),
                redirections=tuple(redirections),
                start=self._at(start),
                end=self._at(end),
            )
        )

    def _take(self, words: list[Word], own: list[Assignment]) -> None:
        position = self.position
        head = _ASSIGNMENT.match(self.text, position)
        is_declared = bool(words) and words[0].text in DECLARES
        if head is not None and (not words or is_declared):
            own.append(self._assignment(head))
            return
        word = self.reader.word()
        if self.position == position:
            self.position += 1
            return
        words.append(word)

    def _assignment(self, head: re.Match[str]) -> Assignment:
        is_array = self.text.startswith("(", head.end())
        if is_array:
            self.position = head.end()
            values = tuple(self._elements())
        else:
            values = (self._value(head),)
        return Assignment(
            name=head["name"],
            values=values,
            is_array=is_array,
            appends=bool(head["add"]),
            is_element=bool(head["key"]),
        )

    def _value(self, head: re.Match[str]) -> Word:
        """Read the value, with a `~` at its start."""
        self.position = head.end()
        return self.reader.word()

    def _elements(self) -> Iterator[Word]:
        self.position += 1
        while self.position < len(self.text):
            self._blank()
            char = self.text[self.position : self.position + 1]
            if char == ")":
                self.position += 1
                return
            if char == "\n":
                self.position += 1
                continue
            before = self.position
            word = self.reader.word()
            if self.position == before:
                self.position += 1
            else:
                yield word


def _is_leading(text: str, index: int) -> bool:
    """Say whether only tabs stand before a tab in its line."""
    return not text[text.rfind("\n", 0, index) + 1 : index].strip("\t")

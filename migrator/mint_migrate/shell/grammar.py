"""Parses a shell script. Text that is no shell gives commands nobody knows, never an error.

What is read is the language of `bash` as launchers use it: lists, pipelines, compound commands,
functions, redirections with here-documents, arrays, `[[ ]]` and `(( ))`. Aliases, extended patterns
and coprocesses are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mint_migrate.shell.brackets import end_of_bracket
from mint_migrate.shell.simple import SimpleParser
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
    Script,
)
from mint_migrate.shell.words import Word

_FUNCTION = re.compile(
    r"(?:function[ \t]+(?P<word>[\w.:-]+)[ \t]*(?:\([ \t]*\))?"
    r"|(?P<name>[\w.:-]+)[ \t]*\([ \t]*\))"
)
_KEYWORD = re.compile(
    r"(?P<word>if|then|elif|else|fi|for|while|until|select|do|done|case|esac|\{|\}|!|time|\[\[)"
    r"(?=[\s;&|<>()]|$)"
)
_CLOSES = frozenset({"then", "elif", "else", "fi", "do", "done", "esac", "}"})
_NAME = re.compile(r"[A-Za-z_]\w*")
_DEEPEST = 60
"""Levels of nesting behind which text is taken as one flat list of commands."""


def parse(text: str, offsets: Sequence[int] | None = None) -> Script:
    """Return the structure of a script.

    Args:
        text: the script.
        offsets: where each of its characters stands, where it is a part of another text.
    """
    parser = _Parser(text, offsets)
    try:
        parser.read_all()
    except RecursionError:
        # Quotes within expansions within quotes, hundreds of levels deep: no script.
        return Script()
    return parser.script


class _Parser(SimpleParser):
    """Reads one text from its start to its end."""

    def read_all(self) -> None:
        """Read the text from its start to its end."""
        items: list[Node] = []
        while self.position < len(self.text):
            items += self.block().items
            # A bracket or keyword that closes nothing is passed over.
            self.position += 1
        self.script.root = Block(items=tuple(items))

    def block(self) -> Block:
        """Read commands up to a keyword or bracket that closes something."""
        items: list[Node] = []
        self._depth += 1
        while self._skip_separators() and not self._closes():
            before = self.position
            node = self._chain()
            self._blank()
            if self._looking_at("&") and not self._looking_at("&&"):
                node = Apart(items=(node,))
                self.position += 1
            items.append(node)
            if self.position == before:
                self.position += 1
        self._depth -= 1
        return Block(items=tuple(items))

    def _skip_separators(self) -> bool:
        """Skip newlines and single semicolons; return whether something follows."""
        while True:
            self._blank()
            if self._looking_at("\n"):
                self._newline()
            elif self._looking_at(";") and not self._looking_at(";;"):
                self.position += 1
            else:
                return self.position < len(self.text)

    def _closes(self) -> bool:
        if self.text[self.position] == ")" or self._looking_at(";;"):
            return True
        return self._keyword() in _CLOSES

    def _keyword(self) -> str:
        match = _KEYWORD.match(self.text, self.position)
        return match["word"] if match else ""

    def _accept(self, word: str) -> bool:
        """Skip a keyword or bracket if it stands here."""
        self._skip_separators()
        is_there = self._keyword() == word or (word in {")", "(", ";;"} and self._looking_at(word))
        if is_there:
            self.position += len(word)
        return is_there

    def _chain(self) -> Node:
        first = self._pipeline()
        rest: list[tuple[str, Node]] = []
        while True:
            self._blank()
            operator = self.text[self.position : self.position + 2]
            if operator not in {"&&", "||"}:
                break
            self.position += 2
            if not self._skip_separators() or self._closes():
                break
            rest.append((operator, self._pipeline()))
        return Chain(first=first, rest=tuple(rest)) if rest else first

    def _pipeline(self) -> Node:
        is_negated = False
        while self._keyword() in {"!", "time"}:
            is_negated ^= self._keyword() == "!"
            self.position += len(self._keyword())
            self._blank()
        items = [self._command()]
        while True:
            self._blank()
            if not self._looking_at("|") or self._looking_at("||"):
                break
            self.position += 2 if self._looking_at("|&") else 1
            if not self._skip_separators() or self._closes():
                break
            items.append(self._command())
        node = Apart(items=tuple(items)) if len(items) > 1 else items[0]
        return Negated(item=node) if is_negated else node

    def _command(self) -> Node:
        self._blank()
        if self._depth > _DEEPEST:
            return self._simple()
        start = self.position
        node = self._compound()
        if node is None:
            return self._simple()
        # A compound command may have redirections of its own, here-documents included.
        self._redirections()
        return node if self.position > start else self._simple()

    def _compound(self) -> Node | None:
        keyword = self._keyword()
        function = _FUNCTION.match(self.text, self.position)
        if function is not None and keyword not in {"if", "while", "until", "for", "case"}:
            return self._function(function)
        if self._looking_at("(("):
            return self._arithmetic()
        if self._looking_at("("):
            self.position += 1
            body = self.block()
            self._accept(")")
            return Apart(items=(body,))
        match keyword:
            case "{":
                self.position += 1
                body = self.block()
                self._accept("}")
                return body
            case "if":
                return self._if()
            case "for" | "select":
                return self._for()
            case "while" | "until":
                return self._while()
            case "case":
                return self._case()
            case "[[":
                return self._test()
        return None

    def _function(self, match: re.Match[str]) -> Node:
        start = self._at(match.start())
        self.position = match.end()
        self._skip_separators()
        body = self._command()
        name = match["word"] or match["name"]
        return Function(name=name, body=body, start=start, end=self._at(self.position))

    def _arithmetic(self) -> Node:
        start = self.position
        end = end_of_bracket(self.text, start, ")")
        self.position = end
        return Arithmetic(text=self.text[start + 2 : max(start + 2, end - 2)])

    def _if(self) -> Node:
        arms: list[tuple[Block | None, Block]] = []
        self.position += len("if")
        while True:
            condition = self.block()
            self._accept("then")
            arms.append((condition, self.block()))
            if self._accept("elif"):
                continue
            if self._accept("else"):
                arms.append((None, self.block()))
            self._accept("fi")
            return Branches(arms=tuple(arms))

    def _body(self) -> Block:
        closing = "done"
        if not self._accept("do") and self._accept("{"):
            closing = "}"
        body = self.block()
        self._accept(closing)
        return body

    def _for(self) -> Node:
        self.position += len(self._keyword())
        self._blank()
        if self._looking_at("(("):
            head = self._arithmetic()
            return Loop(body=self._body(), condition=Block(items=(head,)))
        match = _NAME.match(self.text, self.position)
        variable = match[0] if match else None
        self.position = match.end() if match else self.position
        self._skip_separators()
        words: tuple[Word, ...] | None = None
        if re.compile(r"in(?=[\s;]|$)").match(self.text, self.position):
            self.position += 2
            words = tuple(self._listed())
        return Loop(body=self._body(), variable=variable, words=words)

    def _listed(self) -> Iterator[Word]:
        """Read words to the end of the line."""
        while True:
            self._blank()
            before = self.position
            if before >= len(self.text) or self.text[before] in "\n;&|()":
                return
            yield self.reader.word()
            if self.position == before:
                self.position += 1

    def _while(self) -> Node:
        self.position += len(self._keyword())
        condition = self.block()
        return Loop(body=self._body(), condition=condition)

    def _case(self) -> Node:
        self.position += len("case")
        self._blank()
        word = self.reader.word()
        self._skip_separators()
        if re.compile(r"in(?=[\s;]|$)").match(self.text, self.position):
            self.position += 2
        arms: list[tuple[tuple[Word, ...], Block]] = []
        while self._skip_separators() and not self._accept("esac"):
            before = self.position
            patterns = tuple(self._patterns())
            arms.append((patterns, self.block()))
            if self._looking_at(";;"):
                self.position += 3 if self._looking_at(";;&") else 2
            if self.position == before:
                self.position += 1
        return Case(word=word, arms=tuple(arms))

    def _patterns(self) -> Iterator[Word]:
        while self.position < len(self.text):
            self._blank()
            char = self.text[self.position : self.position + 1]
            if char in {")", "\n", ""}:
                self.position += char == ")"
                return
            if char in set("(|;&<>"):
                self.position += 1
            else:
                yield self.reader.word()

    def _test(self) -> Node:
        """Read `[[ ... ]]` as a command whose operators are words."""
        start = self.position
        words: list[Word] = []
        while self.position < len(self.text):
            match = re.compile(r"\s+|\\\n").match(self.text, self.position)
            if match is not None:
                self.position = match.end()
                continue
            operator = re.compile(r"&&|\|\||[()<>]").match(self.text, self.position)
            if words and words[-1].text == "=~":
                words.append(self._regular_expression())
            elif operator is not None:
                words.append(self._raw(operator.end()))
            else:
                before = self.position
                words.append(self.reader.word())
                self.position += self.position == before
            if words[-1].source == "]]":
                break
        return self._kept(
            Command(words=tuple(words), start=self._at(start), end=self._at(self.position))
        )

    def _regular_expression(self) -> Word:
        match = re.compile(r"(?:\\.|\[[^\]\n]*\]|[^\s\\\[])+").match(self.text, self.position)
        return self._raw(match.end() if match else self.position + 1)

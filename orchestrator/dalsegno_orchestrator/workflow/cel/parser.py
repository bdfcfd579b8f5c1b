"""What one CEL expression refers to, and the text that the CEL library is to run for it.

Every value that an expression takes from outside (`tasks.analyze.rows`) becomes a variable of its
own, so that only what is read is converted. Where the library is stricter or slower than an author
expects, its text is rewritten into calls of our own functions (see `functions`): arithmetic that
mixes whole and fractional numbers, and walks over maps and long lists. Evaluates nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dalsegno_orchestrator.workflow.cel.syntax import (
    EXPRESSION_CHARACTERS_MAX,
    FUNCTIONS,
    MACROS,
    METHODS,
    NESTING_MAX,
    PLAIN,
    ROOTS,
    TYPES,
    Fault,
    Path,
    Read,
    SyntaxFault,
    Token,
    Want,
    tokens,
)

_ARITHMETIC: Final = {
    "+": "_add",
    "-": "_subtract",
    "*": "_multiply",
    "/": "_divide",
    "%": "_remainder",
}
_LEVELS: Final = (
    ("||",),
    ("&&",),
    ("==", "!=", "<", "<=", ">", ">=", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One expression, understood."""

    reference: Path | None
    """Set if the expression is nothing but a path: CEL is not needed."""
    text: str
    """What the CEL library runs."""
    reads: tuple[Read, ...]
    faults: tuple[Fault, ...]


def parse(source: str) -> Parsed:
    """Understand one expression (the text between `${` and `}`).

    Raises:
        SyntaxFault: It is not CEL, too long, or nested too deeply.
    """
    if len(source) > EXPRESSION_CHARACTERS_MAX:
        raise SyntaxFault(
            f"it has {len(source)} characters, more than {EXPRESSION_CHARACTERS_MAX}; "
            "let a task compute this"
        )
    parser = _Parser(tokens(source))
    node = parser.whole()
    reference = node.path
    text = "" if reference is not None else node.text
    return Parsed(
        reference=reference,
        text=text,
        reads=tuple(parser.reads.values()),
        faults=tuple(parser.faults),
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """A piece of an expression: either a path that is still growing, or finished text."""

    text: str = ""
    path: Path | None = None
    is_field: bool = False
    """Whether the text ends in `.field`, which is what `has` asks for."""
    is_list: bool = False
    chunks: str = ""
    """The same list, cut into chunks, where that is at hand."""


class _Parser:
    """Recursive descent over CEL's grammar; holds the reads and faults found on the way."""

    def __init__(self, words: Sequence[Token]) -> None:
        self._words = [*words, Token("end", "")]
        self._at = 0
        self._depth = 0
        self._bound: list[str] = []
        self.reads: dict[tuple[Path, Want], Read] = {}
        self.faults: list[Fault] = []

    def whole(self) -> _Node:
        node = self._expression()
        if self._next.kind != "end":
            raise SyntaxFault(f"{self._next.text!r} does not belong where it stands")
        if node.path is not None:
            self._check(node.path)
        return node

    # words

    @property
    def _next(self) -> Token:
        return self._words[self._at]

    def _is(self, *texts: str) -> bool:
        return self._next.kind in {"mark", "name"} and self._next.text in texts

    def _take(self, *texts: str) -> str:
        if not self._is(*texts):
            return ""
        self._at += 1
        return self._words[self._at - 1].text

    def _expect(self, text: str) -> None:
        if not self._take(text):
            found = repr(self._next.text) if self._next.text else "the end"
            raise SyntaxFault(f"expected {text!r}, found {found}")

    def _name(self, what: str) -> str:
        if self._next.kind != "name":
            found = repr(self._next.text) if self._next.text else "the end"
            raise SyntaxFault(f"expected {what}, found {found}")
        self._at += 1
        return self._words[self._at - 1].text

    # grammar

    def _expression(self) -> _Node:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise SyntaxFault(f"it is nested more than {NESTING_MAX} deep; let a task compute this")
        node = self._binary(0)
        if self._take("?"):
            yes = self._text(self._binary(0))
            self._expect(":")
            no = self._text(self._expression())
            node = _Node(f"{self._text(node)} ? {yes} : {no}")
        self._depth -= 1
        return node

    def _binary(self, level: int) -> _Node:
        if level == len(_LEVELS):
            return self._unary()
        node = self._binary(level + 1)
        while mark := self._take(*_LEVELS[level]):
            left, right = self._text(node), self._text(self._binary(level + 1))
            call = _ARITHMETIC.get(mark)
            node = _Node(f"{call}({left}, {right})" if call else f"{left} {mark} {right}")
        return node

    def _unary(self) -> _Node:
        signs = ""
        while sign := self._take("!", "-"):
            signs += sign
        node = self._member()
        return _Node(signs + self._text(node)) if signs else node

    def _member(self) -> _Node:
        node = self._primary()
        while mark := self._take(".", "["):
            if mark == "[":
                node = self._indexed(node)
                continue
            name = self._name("a field's name after '.'")
            if self._take("("):
                node = self._method(node, name)
            elif node.path is not None:
                node = _Node(path=(*node.path, name), is_field=True)
            else:
                node = _Node(f"{self._text(node)}.{name}", is_field=True)
        return node

    def _indexed(self, node: _Node) -> _Node:
        key = _literal(self._next)
        if key is not None and node.path is not None and self._words[self._at + 1].text == "]":
            self._at += 2
            return _Node(path=(*node.path, key), is_field=True)
        inside = self._text(self._expression())
        self._expect("]")
        return _Node(f"{self._text(node)}[{inside}]")

    def _primary(self) -> _Node:
        word = self._next
        if word.kind in {"text", "float", "int"} or self._is("true", "false", "null"):
            self._at += 1
            return _Node(word.text)
        if self._take("("):
            node = self._expression()
            self._expect(")")
            return node if node.path is not None else _Node(f"({node.text})")
        if self._take("["):
            return _Node(f"[{', '.join(self._arguments(']'))}]", is_list=True)
        if self._take("{"):
            return _Node("{" + ", ".join(self._entries()) + "}")
        if word.kind != "name" or word.text == "in":
            found = repr(word.text) if word.text else "the end"
            raise SyntaxFault(f"expected a value, found {found}")
        self._at += 1
        return self._function(word.text) if self._take("(") else self._variable(word.text)

    def _variable(self, name: str) -> _Node:
        if name in self._bound or name in TYPES:
            return _Node(name)
        if name in ROOTS:
            return _Node(path=(name,))
        self.faults.append(Fault(f"{name!r} is not known here", name, ROOTS))
        return _Node(name)

    def _arguments(self, closing: str) -> list[str]:
        found: list[str] = []
        while not self._take(closing):
            found.append(self._text(self._expression()))
            if not self._take(","):
                self._expect(closing)
                break
        return found

    def _entries(self) -> list[str]:
        found: list[str] = []
        while not self._take("}"):
            key = self._text(self._expression())
            self._expect(":")
            found.append(f"{key}: {self._text(self._expression())}")
            if not self._take(","):
                self._expect("}")
                break
        return found

    # calls

    def _function(self, name: str) -> _Node:
        if name == "has":
            return self._has()
        if name == "size":
            return self._size()
        arguments = self._arguments(")")
        self._check_call(name, len(arguments), PLAIN, is_method=False)
        shown = "_string" if name == "string" else name
        return _Node(f"{shown}({', '.join(arguments)})")

    def _method(self, owner: _Node, name: str) -> _Node:
        if name in MACROS:
            return self._macro(owner, name)
        if name == "size" and self._take(")"):
            return self._size_of(owner)
        arguments = self._arguments(")")
        self._check_call(name, len(arguments), METHODS, is_method=True)
        return _Node(f"{self._text(owner)}.{name}({', '.join(arguments)})")

    def _size(self) -> _Node:
        if self._is(")"):
            raise SyntaxFault("size(…) needs a value")
        node = self._expression()
        self._expect(")")
        return self._size_of(node)

    def _size_of(self, node: _Node) -> _Node:
        if node.path is not None:
            return _Node(self._read(node.path, "size"))
        return _Node(f"{'size' if node.is_list else '_size'}({node.text})")

    def _has(self) -> _Node:
        node = self._expression()
        self._expect(")")
        if node.path is not None and len(node.path) > 1:
            return _Node(self._read(node.path, "presence"))
        if node.path is not None or not node.is_field:
            raise SyntaxFault("has(…) asks for a field, such as has(tasks.a.b)")
        return _Node(f"has({node.text})")

    def _macro(self, owner: _Node, name: str) -> _Node:
        in_chunks = name in {"map", "filter"}
        walked = self._walked(owner, in_chunks=in_chunks)
        variable = self._name(f"the name of one item in {name}(item, …)")
        if not variable[0].isalpha():
            raise SyntaxFault(f"the name of one item must begin with a letter, not {variable!r}")
        self._expect(",")
        self._bound.append(variable)
        body = self._arguments(")")
        self._bound.pop()
        if len(body) != 1 and not (name == "map" and len(body) == 2):
            raise SyntaxFault(f"{name}(…) takes an item's name and one expression")
        if not in_chunks:
            return _Node(f"{walked}.{name}({variable}, {body[0]})")
        chunks = f"{walked}.map(_c, _c.{name}({variable}, {', '.join(body)}))"
        return _Node(f"_flat({chunks})", is_list=True, chunks=chunks)

    def _walked(self, owner: _Node, *, in_chunks: bool) -> str:
        if owner.path is not None:
            return self._read(owner.path, "chunks" if in_chunks else "keys")
        if in_chunks:
            return owner.chunks or f"_chunks({owner.text})"
        return owner.text if owner.is_list else f"_keys({owner.text})"

    def _check_call(
        self, name: str, count: int, table: Mapping[str, tuple[int, ...]], *, is_method: bool
    ) -> None:
        if count in table.get(name, ()):
            return
        if name in table:
            takes = f"{table[name][-1]} argument{'s' if table[name][-1] != 1 else ''}"
            self.faults.append(Fault(f"{name}(…) takes {takes}, not {count}"))
        elif name in FUNCTIONS:
            use = f"{name}(value)" if is_method else f"value.{name}(…)"
            self.faults.append(Fault(f"{name} is called as {use}"))
        else:
            self.faults.append(Fault(f"there is no function {name!r}", name, FUNCTIONS))

    # values from outside

    def _text(self, node: _Node) -> str:
        return node.text if node.path is None else self._read(node.path, "value")

    def _read(self, path: Path, want: Want) -> str:
        self._check(path)
        read = self.reads.get((path, want))
        if read is None:
            read = self.reads[path, want] = Read(f"_r{len(self.reads)}", path, want)
        return read.name

    def _check(self, path: Path) -> None:
        if path[0] == "tasks" and (len(path) == 1 or not isinstance(path[1], str)):
            self.faults.append(Fault("name the task whose output is meant: tasks.<task>"))


def _literal(word: Token) -> str | int | None:
    """The key that a plain literal stands for; None for any other word."""
    if word.kind == "int" and word.text.isdecimal():
        return int(word.text)
    plain = word.kind == "text" and word.text[0] in "\"'" and "\\" not in word.text
    return word.text[1:-1] if plain and not word.text.startswith(('"""', "'''")) else None

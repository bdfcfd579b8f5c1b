"""The words of CEL expressions: how a text falls into them, and which names and functions exist.

Knows text only; `parser` says what an expression means, `formula` evaluates it.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where a value lies: a root, then fields and indices: `("tasks", "a", "rows", 0)`."""

Want: TypeAlias = Literal["value", "presence", "size", "keys", "chunks"]
"""What is taken of the value at a path; `keys` and `chunks` are what a comprehension walks over."""

ROOTS: Final = (
    "input",
    "tasks",
    "context",
    "run",
    "item",
    "index",
    "iteration",
    "previous",
    "output",
)
EXPRESSION_CHARACTERS_MAX: Final = 2_000
NESTING_MAX: Final = 24

TYPES: Final = frozenset(
    {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"}
)
_CONVERSIONS: Final = ("bytes", "double", "duration", "dyn", "int", "string", "timestamp", "uint")
_TESTS: Final = ("contains", "endsWith", "matches", "startsWith")
_PARTS_OF_TIME: Final = (
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
)
MACROS: Final = ("all", "exists", "exists_one", "filter", "map")
PLAIN: Final[Mapping[str, tuple[int, ...]]] = {"size": (1,), "type": (1,)} | dict.fromkeys(
    _CONVERSIONS, (1,)
)
METHODS: Final[Mapping[str, tuple[int, ...]]] = (
    {"size": (0,)} | dict.fromkeys(_TESTS, (1,)) | dict.fromkeys(_PARTS_OF_TIME, (0, 1))
)
FUNCTIONS: Final = tuple(sorted({"has", *PLAIN, *METHODS, *MACROS}))
"""Every function that an expression may call."""

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
    |(?P<text>[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}
            |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|(?<![\w)\]])\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)


class SyntaxFault(Exception):
    """The text cannot be read; the message says where and why. Never leaves this package."""


class Fault(NamedTuple):
    """Something wrong with an expression that can be read: a name that nobody knows, mostly."""

    message: str
    name: str = ""
    """The name that is wrong, for a suggestion."""
    known: tuple[str, ...] = ()
    """The names that would be right."""


class Read(NamedTuple):
    """One value that an expression takes from its scope, as the variable `name`."""

    name: str
    path: Path
    want: Want


class Token(NamedTuple):
    """One word of an expression."""

    kind: str
    text: str


def tokens(source: str) -> list[Token]:
    """The words of an expression, without spaces and comments.

    Raises:
        SyntaxFault: A character that begins no word.
    """
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise SyntaxFault(_stray(source, at))
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group()))
        at = match.end()
    return found


def end_of(text: str, start: int) -> int | None:
    """Where the `}` lies that closes the `${` before `start`; None: nowhere.

    Braces and strings inside the expression are stepped over.
    """
    depth, at = 0, start
    while at < len(text):
        match = _TOKEN.match(text, at)
        mark = match.group() if match is not None and match.lastgroup == "mark" else ""
        if mark == "}" and depth == 0:
            return at
        depth += (mark == "{") - (mark == "}")
        at = match.end() if match is not None else at + 1
    return None


def show(path: Path) -> str:
    """A path as an author writes it: `tasks.a["b-c"][0]`."""
    root, *rest = path
    shown = [str(root)]
    for part in rest:
        if isinstance(part, int):
            shown.append(f"[{part}]")
        else:
            simple = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", part)
            shown.append(f".{part}" if simple else f'["{part}"]')
    return "".join(shown)


def _stray(source: str, at: int) -> str:
    if source[at] in "\"'":
        return f"the text that begins at {source[at:][:12]!r} has no closing quote"
    hint = {"=": "; compare with ==", "&": "; write &&", "|": "; write ||"}.get(source[at], "")
    return f"{source[at]!r} at character {at + 1} does not belong there{hint}"

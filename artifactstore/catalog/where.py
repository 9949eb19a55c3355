"""Where-expressions: a small language that says which versions are meant, parsed here and evaluated without `eval`.

    metadata.rows > 1000 and not ('draft' in tags or type = 'model')

An expression is parsed once and then asked of each version. It never fails on what a version holds: values of kinds
that can't be compared are unequal and in no order, and what a path leads to nowhere is null.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

from artifactstore.errors import InvalidQuery

EXPRESSION_CHARACTERS_MAX: Final = 4096
_DEPTH_MAX: Final = 64
METADATA: Final = "metadata"
# Of each field, what it is.
FIELDS: Final = {
    "artifact": "`project/name`",
    "project": "text",
    "name": "text",
    "type": "text",
    "number": "number",
    "digest": "text",
    "size": "bytes",
    "files": "number",
    "created": "time",
    "expires": "time, or null",
    "description": "text",
    "aliases": "list of texts",
    "tags": "list of texts",
    "link": "`project/name:v3`, or null",
    "runs": "list of texts",
    METADATA: "anything",
}
_TIMES: Final = frozenset({"created", "expires"})
_UNITS: Final = {
    unit: base**power
    for base, units in ((1000, ("kB", "MB", "GB", "TB")), (1024, ("KiB", "MiB", "GiB", "TiB")))
    for power, unit in enumerate(units, 1)
}
_TOKEN: Final = re.compile(
    r"""(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?P<unit>[A-Za-z]+\b)?
    |(?P<word>[A-Za-z_][A-Za-z0-9_-]*)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<sign>==|!=|<=|>=|[=<>()\[\],.])""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_WORDS: Final = frozenset({"and", "or", "not", "in", *_CONSTANTS})
_EQUAL, _UNEQUAL = "=", "!="
_ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}

# Gives the value of a field by its name.
Lookup: TypeAlias = Callable[[str], Any]


class Literal(NamedTuple):
    """A value that stands in the expression."""

    value: Any


class Path(NamedTuple):
    """A field of a version, and where in it."""

    field: str
    steps: tuple[str, ...] = ()


class Compare(NamedTuple):
    """Two values, held against each other by `=`, `!=`, `<`, `<=`, `>`, `>=` or `in`."""

    left: "Value"
    sign: str
    right: "Value"


class Not(NamedTuple):
    """What must not hold."""

    inner: "Node"


class All(NamedTuple):
    """What must hold together."""

    parts: tuple["Node", ...]


class Some(NamedTuple):
    """Of what one must hold at least."""

    parts: tuple["Node", ...]


Value: TypeAlias = Literal | Path
Node: TypeAlias = Value | Compare | Not | All | Some


class _Token(NamedTuple):
    kind: str
    text: str
    at: int
    value: Any = None


def parse_where(text: str) -> Node:
    """Parse an expression.

    Raises:
        InvalidQuery: It is none; the message points at the character where it stops being one.
    """
    if len(text) > EXPRESSION_CHARACTERS_MAX:
        raise InvalidQuery(
            f"a where-expression may have {EXPRESSION_CHARACTERS_MAX} characters at most", position=len(text)
        )
    parser = _Parser(text)
    node = parser.some(0)
    parser.end()
    return node


def holds(node: Node, lookup: Lookup) -> bool:
    """Whether an expression holds of what `lookup` gives the fields of."""
    match node:
        case All(parts):
            return all(holds(part, lookup) for part in parts)
        case Some(parts):
            return any(holds(part, lookup) for part in parts)
        case Not(inner):
            return not holds(inner, lookup)
        case Compare(left, sign, right):
            return _compare(_value(left, lookup), sign, _value(right, lookup))
        case Literal() | Path():
            return _value(node, lookup) is True


def _value(node: Value, lookup: Lookup) -> Any:
    if isinstance(node, Literal):
        return node.value
    found = lookup(node.field)
    for step in node.steps:
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, Sequence) and not isinstance(found, str) and step.isdigit():
            found = found[int(step)] if int(step) < len(found) else None
        else:
            return None
    return found


def _compare(one: Any, sign: str, other: Any) -> bool:
    if sign == "in":
        return _is_in(one, other)
    if sign in {_EQUAL, _UNEQUAL}:
        return _equal(one, other) == (sign == _EQUAL)
    return _kind(one) == _kind(other) and _kind(one) in {"number", "text"} and _ORDERED[sign](one, other)


def _is_in(one: Any, other: Any) -> bool:
    match _kind(other):
        case "list":
            return any(_equal(one, each) for each in other)
        case "object":
            return isinstance(one, str) and one in other
        case "text":
            return isinstance(one, str) and one in other
        case _:
            return False


def _equal(one: Any, other: Any) -> bool:
    """Equality of JSON: true is not 1, and 1 is 1.0."""
    kind = _kind(one)
    if kind != _kind(other):
        return False
    if kind == "list":
        return len(one) == len(other) and all(_equal(*pair) for pair in zip(one, other, strict=True))
    if kind == "object":
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, Mapping) else "list"


class _Parser:
    """Reads an expression from left to right. Used once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._next = self._token()

    def some(self, depth: int) -> Node:
        """What `or` joins."""
        parts = [self._all(depth)]
        while self._takes("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self._next.kind != "end":
            raise self._error(f"expected `and`, `or` or the end, found {self._found()}")

    def _all(self, depth: int) -> Node:
        parts = [self._not(depth)]
        while self._takes("and"):
            parts.append(self._not(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _not(self, depth: int) -> Node:
        if depth >= _DEPTH_MAX:
            raise self._error(f"nested more than {_DEPTH_MAX} deep")
        if self._takes("not"):
            return Not(self._not(depth + 1))
        if self._takes("("):
            node = self.some(depth + 1)
            self._expect(")")
            return node
        return self._comparison()

    def _comparison(self) -> Node:
        begin = self._next
        left = self._side()
        sign = self._sign()
        if sign is None:
            if isinstance(left, Literal) and not isinstance(left.value, bool):
                raise self._error("a value alone says nothing; compare it with something", begin)
            return left
        negated = sign == "not in"
        other = self._next
        right = self._list() if sign.endswith("in") and self._next.text == "(" else self._side()
        if isinstance(left, Path) and left.field in _TIMES:
            right = self._as_time(right, other)
        if isinstance(right, Path) and right.field in _TIMES:
            left = self._as_time(left, begin)
        compare = Compare(left, "in" if negated else sign, right)
        return Not(compare) if negated else compare

    def _sign(self) -> str | None:
        if self._takes("not"):
            self._expect("in")
            return "not in"
        if self._takes("in"):
            return "in"
        if self._next.kind == "sign" and self._next.text in {"=", "==", _UNEQUAL, *_ORDERED}:
            sign = self._advance().text
            return _EQUAL if sign == "==" else sign
        return None

    def _side(self) -> Value:
        """What stands on one side of a sign."""
        return self._list() if self._next.kind == "sign" and self._next.text == "[" else self._operand()

    def _list(self) -> Literal:
        close = ")" if self._advance().text == "(" else "]"
        values: list[Any] = []
        while not self._takes(close):
            if values:
                self._expect(",")
            begin = self._next
            operand = self._operand()
            if not isinstance(operand, Literal):
                raise self._error("a list holds values, not fields", begin)
            values.append(operand.value)
        return Literal(values)

    def _operand(self) -> Value:
        token = self._next
        if token.kind in {"number", "text"}:
            return Literal(self._advance().value)
        if token.kind == "word" and token.text in _CONSTANTS:
            return Literal(_CONSTANTS[self._advance().text])
        if token.kind == "word" and token.text not in _WORDS:
            return self._path()
        raise self._error(f"expected a field or a value, found {self._found()}")

    def _path(self) -> Path:
        field = self._next
        if field.text not in FIELDS:
            from difflib import get_close_matches  # noqa: PLC0415 - for mistakes alone

            close = get_close_matches(field.text, FIELDS, 1)
            meant = f"; is {close[0]!r} meant?" if close else f"; there are {', '.join(FIELDS)}"
            raise self._error(f"there is no field {field.text!r}{meant}")
        self._advance()
        steps: list[str] = []
        while self._next.text == "." and self._next.kind == "sign":
            if field.text != METADATA:
                raise self._error(f"{field.text!r} has nothing within")
            self._advance()
            if self._next.kind == "text":
                steps.append(self._advance().value)
            elif self._next.kind == "word" or (self._next.kind == "number" and self._next.text.isdigit()):
                steps.append(self._advance().text)
            else:
                raise self._error(f"expected the name of a key, found {self._found()}")
        return Path(field.text, tuple(steps))

    def _as_time(self, value: Value, token: _Token) -> Value:
        """A date or a moment that a time is compared with; UTC where nothing else is said."""
        if not isinstance(value, Literal) or not isinstance(value.value, str):
            return value
        try:
            moment = datetime.fromisoformat(value.value)
        except ValueError:
            raise self._error("expected a time such as '2026-01-31' or '2026-01-31T12:00'", token) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Literal(moment.timestamp())

    # --- tokens -----------------------------------------------------------------------------------------------

    def _takes(self, text: str) -> bool:
        if self._next.kind in {"word", "sign"} and self._next.text == text:
            self._advance()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            raise self._error(f"expected {text!r}, found {self._found()}")

    def _advance(self) -> _Token:
        token, self._next = self._next, self._token()
        return token

    def _token(self) -> _Token:
        space = _SPACE.match(self._text, self._at)
        at = self._at = space.end() if space else self._at
        if at >= len(self._text):
            return _Token("end", "", at)
        found = _TOKEN.match(self._text, at)
        if found is None:
            what = "a text that does not end" if self._text[at] in "'\"" else repr(self._text[at])
            raise self._error(f"found {what}", _Token("", "", at))
        kind, text = found.lastgroup or "", found[0]
        kind = "number" if kind == "unit" else kind
        if kind == "number" and self._text[at - 1 : at] == ".":
            # Behind a dot it is a place in a list, and the next dot begins another step.
            text = text.partition(".")[0]
            self._at = at + len(text)
            return _Token(kind, text, at)
        self._at = at + len(text)
        return _Token(kind, text, at, self._meant(found, at))

    def _meant(self, found: re.Match[str], at: int) -> Any:
        """The value of a number or a text."""
        if found["text"] is not None:
            return _ESCAPED.sub(r"\1", found["text"][1:-1])
        digits, unit = found["number"], found["unit"]
        if digits is None:
            return None
        if unit is not None and unit not in _UNITS:
            raise self._error(f"there is no unit {unit!r}; there are {', '.join(_UNITS)}", _Token("", "", at))
        number = int(digits) if digits.lstrip("-").isdigit() else float(digits)
        return number if unit is None else number * _UNITS[unit]

    def _found(self) -> str:
        return "the end" if self._next.kind == "end" else repr(self._next.text)

    def _error(self, problem: str, token: _Token | None = None) -> InvalidQuery:
        at = (token or self._next).at
        shown = re.sub(r"\s", " ", self._text)
        return InvalidQuery(
            f"where-expression, character {at + 1}: {problem}\n    {shown}\n    {' ' * at}^",
            position=at,
            expression=self._text,
        )

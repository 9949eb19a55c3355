"""Where-expressions: what they mean, that nothing else is one, and where that is seen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.catalog.where import (
    EXPRESSION_CHARACTERS_MAX,
    All,
    Compare,
    Literal,
    Node,
    Not,
    Path,
    Some,
    holds,
    parse_where,
)
from artifactstore.errors import InvalidQuery

VERSION: dict[str, Any] = {
    "artifact": "p/n",
    "project": "p",
    "name": "n",
    "type": "dataset",
    "number": 3,
    "digest": "ab12",
    "size": 5_000_000_000,
    "files": 12,
    "created": 1_767_225_600.0,  # 2026-01-01
    "expires": None,
    "description": "It's good",
    "aliases": ["latest", "production"],
    "tags": ["clean"],
    "link": None,
    "runs": [],
    "metadata": {
        "rows": 2000,
        "ratio": 1.0,
        "one": 1,
        "final": True,
        "note": "a note",
        "with space": {"x": [1, {"y": "deep"}]},
        "nothing": None,
    },
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.rows > 1000", True),
        ("metadata.rows > 2000", False),
        ("metadata.rows >= 2000 and metadata.rows <= 2000", True),
        ("1000 < metadata.rows", True),
        ("metadata.rows = 2000.0 and metadata.rows == 2e3", True),
        ("metadata.final", True),
        ("metadata.one", False),
        ("metadata.final = 1", False),
        ("metadata.one = true", False),
        ("metadata.absent = null and metadata.nothing = null", True),
        ("metadata.absent.further = null", True),
        ("metadata.absent > 0 or metadata.absent <= 0", False),
        ("metadata.note > 0", False),
        ("metadata.note != 0", True),
        ("metadata.note < 'b'", True),
        ("'note' in metadata.note", True),
        ("'rows' in metadata", True),
        ("'production' in aliases and 'clean' in tags", True),
        ("'draft' not in tags", True),
        ("not 'draft' in tags", True),
        ("type in ('model', 'dataset')", True),
        ('type in ["model"]', False),
        ("type in ()", False),
        ("number in [1, 2, 3]", True),
        ("3 in number", False),
        ("metadata.'with space'.x.0 = 1", True),
        ("metadata.\"with space\".x.1.y = 'deep'", True),
        ("metadata.'with space'.x.7 = null", True),
        ("size > 4.9GB and size < 5GB", False),
        ("size > 4.9GB and size <= 5GB and size < 5GiB", True),
        ("created >= '2026-01-01' and created < '2026-01-01T00:00:01+00:00'", True),
        ("'2026-01-01T02:00+02:00' = created", True),
        ("expires = null and link = null", True),
        (r"description = 'It\'s good' and description = " + '"It\'s good"', True),
        ("true or false and false", True),
        ("(true or false) and false", False),
        ("not not true", True),
    ],
)
def test_what_it_means(text: str, expected: bool) -> None:
    """Comparisons as JSON has them, and the words as they are read."""
    assert holds(parse_where(text), VERSION.__getitem__) is expected


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("", 0, "expected a field or a value, found the end"),
        ("metadata.rows > ", 16, "expected a field or a value, found the end"),
        ("metadata.rows >> 1", 15, "expected a field or a value, found '>'"),
        ("sizes > 1", 0, "there is no field 'sizes'; is 'size' meant?"),
        ("size > 1 tags", 9, "expected `and`, `or` or the end, found 'tags'"),
        ("tags.first = 1", 4, "'tags' has nothing within"),
        ("metadata. = 1", 10, "expected the name of a key, found '='"),
        ("metadata.1e5 = 1", 9, "expected the name of a key, found '1e5'"),
        ("type = 'model", 7, "found a text that does not end"),
        ("type = model", 7, "there is no field 'model'"),
        ("(true", 5, "expected ')', found the end"),
        ("true)", 4, "expected `and`, `or` or the end, found ')'"),
        ("size > 3XB", 7, "there is no unit 'XB'"),
        ("size & 1", 5, "found '&'"),
        ("'model'", 0, "a value alone says nothing"),
        ("type in (name)", 9, "a list holds values, not fields"),
        ("type in ('a' 'b')", 13, "expected ',', found \"'b'\""),
        ("type not 'a'", 9, "expected 'in', found \"'a'\""),
        ("created > 'yesterday'", 10, "expected a time such as '2026-01-31'"),
        ("not and true", 4, "expected a field or a value, found 'and'"),
        ("not " * 65 + "true", 256, "nested more than 64 deep"),
        ("__import__('os')", 0, "there is no field '__import__'"),
    ],
)
def test_an_error_points_at_the_character(text: str, at: int, problem: str) -> None:
    """Who mistypes sees where."""
    with pytest.raises(InvalidQuery) as caught:
        parse_where(text)
    assert problem in caught.value.message
    assert caught.value.facts["position"] == at
    line, caret = caught.value.message.splitlines()[1:]
    assert (line[4:], caret.index("^") - 4) == (text, at)


def test_a_very_long_one_is_not_read() -> None:
    """The bound comes first."""
    with pytest.raises(InvalidQuery, match="4096 characters"):
        parse_where("true or " * EXPRESSION_CHARACTERS_MAX + "true")


@given(st.text(max_size=60) | st.lists(st.sampled_from(["size", "metadata", ".", "a", "1", "'x'", "(", ")", "in",
    "not", "and", "or", ">", "=", "[", "]", ",", "true", "-1.5e3", "created"]), max_size=12).map(" ".join))  # fmt: skip
def test_any_text_is_parsed_or_refused_at_a_place(text: str) -> None:
    """Nothing else comes out of the parser, whatever goes in; and what it accepts can be asked of any version."""
    try:
        node = parse_where(text)
    except InvalidQuery as refused:
        position = refused.facts["position"]
        assert isinstance(position, int)
        assert 0 <= position <= len(text)
    else:
        assert holds(node, VERSION.__getitem__) in {True, False}
        assert holds(node, dict.fromkeys(VERSION).__getitem__) in {True, False}


keys = st.sampled_from(["rows", "note", "absent", "final", "a key", "and"])
literals = st.builds(
    Literal,
    st.none() | st.booleans() | st.integers(-5000, 5000) | st.floats(-1e6, 1e6) | st.text(max_size=4),
)
paths = st.builds(
    Path, st.sampled_from(["size", "type", "tags", "number", "aliases"]), st.just(())
) | st.builds(Path, st.just("metadata"), st.lists(keys, min_size=1, max_size=2).map(tuple))
values = literals | paths
lists = st.builds(Literal, st.lists(literals.map(lambda one: one.value), max_size=3))
comparisons = st.builds(
    Compare, values, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values
) | st.builds(Compare, values, st.just("in"), values | lists)
nodes: st.SearchStrategy[Node] = st.recursive(
    comparisons | paths | st.booleans().map(Literal),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(lambda parts: All(tuple(parts)), st.lists(inner, min_size=2, max_size=3))
        | st.builds(lambda parts: Some(tuple(parts)), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=8,
)


def written(node: Node) -> str:
    """An expression as somebody might write it, every part of it in parentheses."""
    match node:
        case Literal(value):
            return literal(value)
        case Path(field, steps):
            return ".".join([field, *(f"'{step}'" for step in steps)])
        case Compare(left, sign, right):
            return f"{written(left)} {sign} {written(right)}"
        case Not(inner):
            return f"not ({written(inner)})"
        case All(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case Some(parts):
            return " or ".join(f"({written(part)})" for part in parts)


def literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else repr(value)
    )


@given(nodes)
def test_what_is_written_is_what_is_read(node: Node) -> None:
    """Parsing undoes writing, for every expression that there is."""
    assert parse_where(written(node)) == node


@given(nodes, nodes)
def test_the_words_follow_their_rules(one: Node, other: Node) -> None:
    """`not`, `and` and `or` are those of logic, and `!=` is `not =`."""

    def asked(node: Node) -> bool:
        return holds(node, VERSION.__getitem__)

    assert asked(Not(one)) == (not asked(one))
    assert asked(All((one, other))) == (asked(one) and asked(other))
    assert asked(Not(Some((one, other)))) == asked(All((Not(one), Not(other))))
    if isinstance(one, Compare) and one.sign == "=":
        assert asked(one._replace(sign="!=")) == (not asked(one))

"""Which paths a version may hold, and when two of them are one on some system."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.format.limits import PATH_BYTES_MAX
from artifactstore.manifest.paths import fold, path_problem

GOOD = [
    "a",
    "a/b/c.txt",
    ".hidden/..data",
    "...",
    "with space/ü/日本語/🙂",
    "ab:c",
    "console/auxiliary/communal",
    "com/lpt",
    "a~b/-c",
    "x" * 255,
    "/".join(["d" * 100] * 40),
    "file.con",
]
BAD = {
    "": "empty",
    "/a": "absolute",
    "a//b": "absolute or holds an empty part",
    "a/": "empty part",
    ".": "'.'",
    "..": "'..'",
    "a/../b": "'..'",
    "a/..": "'..'",
    "../x": "'..'",
    "./a": "'.'",
    "a\0b": "NUL",
    "a\nb": "control",
    "a\x7f": "control",
    "a\x85": "control",
    "a\\b": "backslash",
    "C:/x": "drive",
    "c:x": "drive",
    "CON": "device",
    "a/nul": "device",
    "aux.txt": "device",
    "a/COM1/b": "device",
    "lpt9.log": "device",
    "com¹": "device",
    "Prn.tar.gz": "device",
    "u\u0308": "NFC",
    "\udcff": "UTF-8",
    "a/" + "x" * 256: "longer than 255",
    "ü" * 128: "longer than 255",
    "/".join(["d" * 100] * 41): str(PATH_BYTES_MAX),
}


@pytest.mark.parametrize("path", GOOD)
def test_ordinary_names_are_kept(path: str) -> None:
    """What any of the three systems can hold may be pushed."""
    assert path_problem(path) == ""


@pytest.mark.parametrize(("path", "words"), BAD.items())
def test_a_bad_name_is_refused_with_the_reason(path: str, words: str) -> None:
    """Each rule has its own sentence."""
    assert words in path_problem(path)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=5).map("/".join))
def test_no_allowed_path_can_leave_its_folder(path: str) -> None:
    """Whatever passes is relative, has no empty or dotted parts, and is what it says in every Unicode form."""
    if not path_problem(path):
        parts = path.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert "\\" not in path
        assert "\0" not in path
        assert unicodedata.normalize("NFC", path) == path


@given(st.text(st.sampled_from("acdnox./1 C:\\\n-_"), max_size=12))
def test_the_quick_look_agrees_with_the_thorough_one(path: str) -> None:
    """A path that one pattern lets through breaks none of the rules one by one."""
    from artifactstore.manifest import paths

    thorough = paths._whole_problem(path) or next(filter(None, map(paths._part_problem, path.split("/"))), "")
    assert path_problem(path) == thorough


@pytest.mark.parametrize(
    ("one", "other"),
    [("a", "A"), ("straße", "STRASSE"), ("é", "e\u0301"), ("É", "e\u0301"), ("Σ", "ς")],
)
def test_what_differs_by_case_or_form_folds_together(one: str, other: str) -> None:
    """Two names that are one on a case-insensitive or normalizing system have one fold."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a.b", "a_b"), ("ü", "u"), ("é", "è")])
def test_what_differs_otherwise_does_not(one: str, other: str) -> None:
    """Folding takes no more away than case and form."""
    assert fold(one) != fold(other)

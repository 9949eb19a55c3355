"""Lock files as text: the same blocks give the same bytes, any text is read or refused, and git merges them."""

import contextlib
import os
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.checkout.lockfile import (
    LOCK_BYTES_MAX,
    LOCK_FILE,
    TARGETS_MAX,
    LockedTarget,
    find_lock_file,
    parse_lock,
    read_lock_file,
    relative_target,
    render_lock,
    write_lock_file,
)
from artifactstore.errors import InvalidLock, NoSuchPath
from artifactstore.manifest.paths import fold, path_problem

STORE = "0b5e" * 16
HEAD = "format = 1\n"


def block(
    target: str, version: int = 0, artifact: str = "team/corpus", follows: str | None = "latest"
) -> LockedTarget:
    """A block that is in order; its digest goes with its version."""
    return LockedTarget(target, artifact, version, f"{version:064x}", STORE, follows)


def text_of(*blocks: LockedTarget) -> bytes:
    """A lock file of these blocks."""
    return render_lock(blocks).encode()


def lines(target: str = '"data"', **changes: str) -> bytes:
    """A lock file of one block with some values changed, as somebody's editor leaves it."""
    values = {
        "artifact": '"team/x"',
        "version": "3",
        "digest": f'"{"ab" * 32}"',
        "store": f'"{STORE}"',
    } | changes
    return (HEAD + "".join(f"{target}.{key} = {value}\n" for key, value in values.items())).encode()


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
PARTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
TARGETS = (
    st.lists(PARTS, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda target: not path_problem(target) and ".git" not in fold(target).split("/"))
)
BLOCKS = st.builds(
    LockedTarget,
    target=TARGETS,
    artifact=st.builds("{}/{}".format, NAMES, NAMES),
    version=st.integers(0, 999_999_999),
    digest=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    store=st.just(STORE),
    follows=st.sampled_from([None, "latest", "production"]),
)


def apart(blocks: Sequence[LockedTarget]) -> bool:
    """Whether no target lies in another."""
    folded = [fold(each.target) + "/" for each in blocks]
    return not any(a.startswith(b) for i, a in enumerate(folded) for j, b in enumerate(folded) if i != j)


@given(st.lists(BLOCKS, max_size=6).filter(apart), st.randoms(use_true_random=False))
def test_what_is_written_is_read_back(blocks: list[LockedTarget], random: object) -> None:
    """Any blocks survive, in any order given with the same text, which is TOML to everybody else too."""
    text = render_lock(blocks)
    shuffled = list(blocks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert render_lock(shuffled) == text
    assert sorted(parse_lock(text.encode(), "x"), key=str) == sorted(blocks, key=str)
    read = tomllib.loads(text)
    assert read["format"] == 1
    assert read.get("target", {}) == {
        each.target: {
            key: value
            for key in ("artifact", "follows", "version", "digest", "store")
            if (value := getattr(each, key)) is not None
        }
        for each in blocks
    }


@given(
    st.binary(max_size=400)
    | st.text(max_size=400).map(str.encode)
    | st.text(max_size=200).map(lambda t: (HEAD + t).encode())
)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Whatever lies in a repository ends in blocks or in the one error."""
    with contextlib.suppress(InvalidLock):
        blocks = parse_lock(raw, "x")
        assert parse_lock(render_lock(blocks).encode(), "x") == blocks


@given(st.lists(BLOCKS, min_size=1, max_size=3).filter(apart), st.data())
def test_a_text_that_was_hurt_never_means_something_else_by_half(
    blocks: list[LockedTarget], data: st.DataObject
) -> None:
    """A text that lost lines has blocks that are whole, or is refused."""
    kept = [line for line in render_lock(blocks).splitlines() if data.draw(st.booleans())]
    try:
        found = parse_lock("\n".join(kept).encode(), "x")
    except InvalidLock:
        return
    # Without its line on what it follows, a block says that it follows nothing.
    wanted = {(each.target, each.artifact, each.version, each.digest) for each in blocks}
    assert {(each.target, each.artifact, each.version, each.digest) for each in found} <= wanted


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (lines('"/etc"'), "absolute"),
        (lines('"../up"'), r"'\.\.'"),
        (lines('"a/../../b"'), r"'\.\.'"),
        (lines('"."'), r"'\.'"),
        (lines('""'), "it is empty"),
        (lines('"a//b"'), "empty part"),
        (lines('"a\\\\b"'), "backslash"),
        (lines('"C:/x"'), "drive letter"),
        (lines('".git/hooks"'), "git's own"),
        (lines('"sub/.GIT"'), "git's own"),
        (lines('"' + "x" * 300 + '"'), "longer than 255 bytes"),
        (lines('"' + "x/" * 3000 + 'y"'), "longer than 4096 bytes"),
        (lines('"a\u0301"'.encode().decode()), "NFC"),
        (lines(version='"3"'), "'version' is a number"),
        (lines(digest="3"), "'digest' is text"),
        (lines(version="-1"), "is no line of a lock file"),
        (lines(version="10000000000"), "is no line of a lock file"),
        (lines(digest='"abc"'), "'digest' is not 64 hex digits"),
        (lines(store='"zz"'), "'store' is not 64 hex digits"),
        (lines(artifact='"corpus"'), "not of the form project/name"),
        (lines(artifact='"a/../b"'), "not of the form project/name"),
        (lines(follows='"v3"'), "looks like a version number"),
        (lines(secret='"x"'), "'secret' is none of"),
        (lines() + b'"data".version = 4\n', "two branches changed it"),
        (lines() + lines('"data/sub"'), "one lies in the other"),
        (lines() + lines('"DATA"'), "are one folder"),
        (HEAD.encode() + b'"data".version = 3\n', "lacks artifact, digest, store"),
        (b"<<<<<<< HEAD\n" + lines(), "git left a conflict"),
        (lines() + b"=======\n", "git left a conflict"),
        (b"\xff", "not UTF-8"),
        (b"", "no line `format = 1`"),
        (b"format = 2\n", "is of format 2"),
        (b"{}", "is no line of a lock file"),
        (HEAD.encode() + b"a." * 100_000 + b"b = 1\n", "is no line of a lock file"),
        (HEAD.encode() + b"[" * 100_000, "is no line of a lock file"),
    ],
)
def test_what_no_honest_lock_says_is_refused(raw: bytes, why: str) -> None:
    """A lock file comes with somebody's repository: it can't name a place outside, nor say two things at once."""
    with pytest.raises(InvalidLock, match=why) as caught:
        parse_lock(raw, "artifacts.lock")
    assert caught.value.next_step
    assert len(caught.value.message) < 400


def test_more_than_a_repository_needs_is_refused(tmp_path: Path) -> None:
    """A file of gigabytes is not read, and targets have a bound."""
    path = tmp_path / LOCK_FILE
    path.write_bytes(HEAD.encode() + b"#" * LOCK_BYTES_MAX)
    with pytest.raises(InvalidLock, match="longer than"):
        read_lock_file(path)
    many = HEAD + "".join(f'"t{number}".version = 1\n' for number in range(TARGETS_MAX + 1))
    with pytest.raises(InvalidLock, match="more than 10,000 targets"):
        parse_lock(many.encode(), "x")


def test_what_is_not_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO or a folder in its place hangs nobody, and where there is no file the error says how to make one."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(InvalidLock, match=f"{name} is not a file") as refused:
            read_lock_file(tmp_path / name)
        assert "move it away" in refused.value.next_step
    with pytest.raises(NoSuchPath, match="there is no lock file") as caught:
        read_lock_file(tmp_path / LOCK_FILE)
    assert "artifactstore lock" in caught.value.next_step


def test_a_file_is_written_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    """Nothing else is left in the folder, and a mode that somebody chose stays."""
    path = tmp_path / LOCK_FILE
    write_lock_file(path, [block("a")])
    path.chmod(0o640)
    write_lock_file(path, [block("a"), block("b")])
    assert path.read_bytes() == text_of(block("a"), block("b"))
    assert (path.stat().st_mode & 0o777, list(tmp_path.iterdir())) == (0o640, [path])
    with pytest.raises(NoSuchPath, match="there is no folder"):
        write_lock_file(tmp_path / "none" / LOCK_FILE, [])


def test_the_search_stops_at_the_top_of_a_repository(tmp_path: Path) -> None:
    """The nearest file upwards counts; one above the repository is somebody else's."""
    inner = tmp_path / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / LOCK_FILE).touch()
    assert find_lock_file(inner) == tmp_path / LOCK_FILE
    (tmp_path / "repository" / ".git").mkdir()
    assert find_lock_file(inner) == inner / LOCK_FILE
    (tmp_path / "repository" / LOCK_FILE).touch()
    assert find_lock_file(inner) == tmp_path / "repository" / LOCK_FILE


def test_targets_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a command is given does not matter, only where the file and the folder lie."""
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    assert relative_target("../data/x/", tmp_path / LOCK_FILE) == "data/x"
    assert relative_target(tmp_path / "data", tmp_path / LOCK_FILE) == "data"
    for outside in ("..", "../..", tmp_path.parent / "other"):
        with pytest.raises(InvalidLock, match="is not below"):
            relative_target(outside, tmp_path / LOCK_FILE)


# --- git ---


def git(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run git as nobody in particular."""
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *identity, "-c", "core.hooksPath=/dev/null", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=check,
    )


def merged(
    folder: Path,
    before: Sequence[LockedTarget],
    ours: Sequence[LockedTarget],
    theirs: Sequence[LockedTarget],
    *,
    union: bool,
) -> tuple[bool, bytes]:
    """Merge two branches that changed a lock file: whether git found no conflict, and the file it left."""
    git(folder, "init", "-q")
    if union:
        (folder / ".gitattributes").write_text(f"{LOCK_FILE} merge=union\n")
    path = folder / LOCK_FILE
    for branch, blocks in (("main", before), ("theirs", theirs), ("ours", ours)):
        if branch != "main":
            git(folder, "checkout", "-q", "-b", branch, "main")
        write_lock_file(path, blocks)
        git(folder, "add", ".")
        git(folder, "commit", "-q", "--allow-empty", "-m", branch)
    done = git(folder, "merge", "-q", "-m", "merge", "theirs", check=False)
    return done.returncode == 0, path.read_bytes()


A, B, C, D = block("a", 1), block("b", 2, "team/models"), block("c", 3), block("d", 4)
CASES = {
    "each adds one to the same gap": ([A, D], [A, B, D], [A, C, D]),
    "each adds the first": ([], [B], [C]),
    "each moves one of two neighbours": ([A, B], [block("a", 7), B], [A, block("b", 8, "team/models")]),
    "one moves, one adds": ([A], [block("a", 7)], [A, B]),
    "one removes, one adds elsewhere": ([A, B, C], [B, C], [A, B, C, D]),
    "both move one to the same version": ([A], [block("a", 7)], [block("a", 7)]),
}


@pytest.mark.parametrize("name", CASES)
def test_git_merges_two_branches(tmp_path: Path, name: str) -> None:
    """With merge=union both branches' blocks are in the file, and it reads as what both meant."""
    before, ours, theirs = CASES[name]
    clean, raw = merged(tmp_path, before, ours, theirs, union=True)
    kept = {each for each in before if each in ours and each in theirs}
    wanted = kept | (set(ours) - set(before)) | (set(theirs) - set(before))
    assert clean
    assert set(parse_lock(raw, "x")) == wanted
    # What a command writes next is the file as one branch alone would have written it.
    assert render_lock(parse_lock(raw, "x")) == render_lock(wanted)


def test_git_merges_moves_of_neighbours_without_being_told(tmp_path: Path) -> None:
    """Lines that stay lie between those that change, so plain git needs no help there."""
    before, ours, theirs = CASES["each moves one of two neighbours"]
    clean, raw = merged(tmp_path, before, ours, theirs, union=False)
    assert clean
    assert set(parse_lock(raw, "x")) == {block("a", 7), block("b", 8, "team/models")}


@pytest.mark.parametrize("union", [True, False], ids=["union", "plain"])
def test_two_branches_that_disagree_are_told(tmp_path: Path, union: bool) -> None:
    """Nobody gets a version that neither branch asked for."""
    clean, raw = merged(tmp_path, [A], [block("a", 7)], [block("a", 8)], union=union)
    assert clean == union
    with pytest.raises(InvalidLock, match="two branches changed it" if union else "git left a conflict"):
        parse_lock(raw, "x")


def test_a_block_that_is_removed_beside_an_added_one_comes_back(tmp_path: Path) -> None:
    """A union forgets a removal right beside an addition: the block is there whole, and is removed again by hand."""
    clean, raw = merged(tmp_path, [A, C], [C], [A, B, C], union=True)
    assert clean
    assert set(parse_lock(raw, "x")) == {A, B, C}


def test_one_branch_removes_what_the_other_moves(tmp_path: Path) -> None:
    """The rest of a block is none, or the block that moved is there whole; never a mixture."""
    clean, raw = merged(tmp_path, [A, B], [B], [block("a", 7), B], union=True)
    assert clean
    with contextlib.suppress(InvalidLock):
        found = parse_lock(raw, "x")
        assert set(found) == {block("a", 7), B}

"""Planning a sweep: a bound on what is rewritten postpones whole purges and splits none."""

from pathlib import Path

import msgspec

from tests.stores import make_store, noise, read_tree, write_tree

LIVE = {"live": noise(300_000, 1)}


def test_a_bound_on_rewriting_postpones_whole_purges(tmp_path: Path) -> None:
    """The older deletion is purged whole; the newer one waits whole, and can be brought back."""
    with make_store(tmp_path) as store:
        trees = [
            {f"only-{at}": noise(300_000, 10 + at), f"more-{at}": noise(200_000, 20 + at)} for at in range(4)
        ]
        # What stays lies in one pack with the newer ones, and alone with none of the older ones.
        for at, tree in enumerate(trees):
            store.push([write_tree(tmp_path / f"v{at}", {**tree, **(LIVE if at >= 2 else {})})], "p/n")
        store.push([write_tree(tmp_path / "v4", LIVE)], "p/n")
        store.delete(["p/n:v0", "p/n:v1"], now=True)
        store.delete(["p/n:v2", "p/n:v3"], now=True)
        plan = store.plan_gc().plan
        assert [one.number for one in plan.purge] == [0, 1, 2, 3]
        assert plan.rewritten_bytes
        prepared = store.plan_gc(max_rewrite=0)
        assert [one.number for one in prepared.plan.purge] == [0, 1]
        assert [one.number for one in prepared.plan.postponed] == [2, 3]
        assert store.gc(prepared, trust_clock=True).purged == ("p/n:v0", "p/n:v1")
        store.undelete(["p/n:v2"])
        store.pull("p/n:v2", tmp_path / "v2-again")
        assert read_tree(tmp_path / "v2-again") == {**trees[2], **LIVE}
        assert store.gc(trust_clock=True).purged == ("p/n:v3",)
        for number, tree in ((2, {**trees[2], **LIVE}), (4, LIVE)):
            store.pull(f"p/n:v{number}", tmp_path / f"out-{number}")
            assert read_tree(tmp_path / f"out-{number}") == tree


def test_what_waits_is_copied_out_of_a_pack_that_goes(tmp_path: Path) -> None:
    """A sweep that postpones a purge takes what that needs out of the packs of those that it purges."""
    kept = {f"kept/{at}": noise(40_000, at) for at in range(10)}
    with make_store(tmp_path) as store:
        store.push([write_tree(tmp_path / "v0", {**kept, "gone": noise(600_000, 99)})], "p/n")
        store.push([write_tree(tmp_path / "v1", {**kept, "other": noise(600_000, 98)})], "p/n")
        store.push([write_tree(tmp_path / "v2", LIVE)], "p/n")
        store.delete(["p/n:v0"], now=True)
        store.delete(["p/n:v1"], now=True)
        prepared = store.plan_gc()
        first, second = prepared.plan.purge
        plan = msgspec.structs.replace(prepared.plan, purge=(first,), postponed=(second,))
        store.gc(prepared._replace(plan=plan), trust_clock=True)
        store.undelete(["p/n:v1"])
        store.pull("p/n:v1", tmp_path / "out")
        assert read_tree(tmp_path / "out") == {**kept, "other": noise(600_000, 98)}

"""The small store that is broken in every way, in memory and on a real S3 server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.maintenance.broken import Small

# One of each kind of damage runs on S3 whenever the tests run, and all of them with --deep.
ON_S3 = {
    "test_two_packs_in_each_others_place_are_both_healed",
    "test_of_a_flipped_bit_only_its_own_blob_is_lost",
    "test_a_pack_that_is_put_back_is_taken_back",
    "test_a_repair_that_is_cut_is_taken_up",
    "test_writers_go_on_while_an_index_pack_is_unreadable",
    "test_rubbish_in_a_slot_is_void_and_no_damage",
    "test_a_keys_object_that_is_gone_is_beyond_repair",
    "test_a_record_0_that_was_altered_stops_everybody",
    "test_foreign_objects_are_told_and_are_no_damage",
    "test_a_log_that_was_set_back_is_refused_shown_and_adopted",
    "test_a_last_record_that_was_altered_can_be_adopted_too",
}


@pytest.fixture(params=["memory", "s3"])
def small(tmp_path: Path, request: pytest.FixtureRequest, deep: bool) -> Iterator[Small]:
    """A small store, whole."""
    on_s3 = request.param == "s3"
    if on_s3 and not deep and request.function.__name__ not in ON_S3:
        pytest.skip("the long version; run with --deep")
    made = Small(tmp_path, *(request.getfixturevalue(name) for name in ("s3_url", "s3_options") if on_s3))
    assert made.store.check(read_data=True).ok
    yield made
    made.store.close()

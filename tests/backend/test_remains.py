"""Versions and uploads of one object are found page by page, and none of another."""

from typing import Any

import pytest

from artifactstore.backend.remains import Remains

PAGE = 3


class Bucket:
    """Answers as S3 does, three at a time; what is asked after a marker goes on behind it."""

    def __init__(self, keys: dict[str, int]) -> None:
        self.left = [
            (key, f"{key}-{number}") for key, count in sorted(keys.items()) for number in range(count)
        ]
        self.pages = 0

    def call(self, request: str, *, Key: str = "", **more: Any) -> dict[str, Any]:  # noqa: N803 - S3's own names
        if request == "delete_object":
            self.left.remove((Key, more["VersionId"]))
            return {}
        if request == "list_multipart_uploads":
            return {"IsTruncated": False}
        assert request == "list_object_versions"
        self.pages += 1
        found = [one for one in self.left if one[0].startswith(more["Prefix"])]
        if "VersionIdMarker" in more:
            found = found[found.index((more["KeyMarker"], more["VersionIdMarker"])) + 1 :]
        page, rest = found[:PAGE], found[PAGE:]
        answer: dict[str, Any] = {"Versions": [{"Key": key, "VersionId": version} for key, version in page]}
        if rest:
            answer |= {"IsTruncated": True, "NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1]}
        return answer


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (3, 2), (4, 2), (9, 4)])
def test_all_pages_are_read_and_no_others(count: int, pages: int) -> None:
    """The listing ends where another key begins, however many follow."""
    bucket = Bucket({"p/a": count, "p/ab": 20, "p/b": 5})
    remains = Remains(bucket.call, "s3://bucket/p")
    assert remains.any("bucket/p/a") == bool(count)
    bucket.pages = 0
    assert remains.erase("a", "bucket/p/a")
    assert bucket.pages == pages
    assert {key for key, _ in bucket.left} == {"p/ab", "p/b"}
    assert len(bucket.left) == 25
    assert not remains.any("bucket/p/a")

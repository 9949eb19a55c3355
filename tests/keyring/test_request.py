"""The line that asks for access: it survives chat and mail whole, or is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import UsageError
from artifactstore.keyring.request import KeyRequest, parse_request, request_line

REQUEST = KeyRequest("ana", bytes(range(32)))


@given(
    st.binary(min_size=32, max_size=32), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
)
def test_a_line_reads_back(public: bytes, name: str) -> None:
    """For every key and every name, with white space around it too."""
    request = KeyRequest(name, public)
    line = request_line(request)
    assert line.isprintable()
    assert parse_request(f"  {line}\n") == request


@given(st.data())
def test_an_altered_line_is_refused(data: st.DataObject) -> None:
    """Cut or altered anywhere, nothing is sealed to what is left."""
    line = request_line(REQUEST)
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != line[at]))
    for bad in (line[:at] + other + line[at + 1 :], line[:at], line[:at] + line[at + 1 :]):
        if bad.strip() != line:
            with pytest.raises(UsageError, match="whole line"):
                parse_request(bad)

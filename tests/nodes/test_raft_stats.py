"""What hashicorp/raft prints of itself (facts/raft.md, 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_exporter.model.evidence import Configuration, Server, Suffrage
from raft_exporter.sources.raft_stats import MAX_SERVERS, RaftStats, duration, integer


def printed(text: str, index: str | None = "0") -> Configuration | None:
    return RaftStats("Follower", latest_configuration=text, latest_configuration_index=index).configuration()


def test_a_printed_configuration_is_read() -> None:
    text = (
        "[{Suffrage:Voter ID:n1 Address:127.0.0.1:17000} {Suffrage:Nonvoter ID:n}2 Address:[::1]:7000}"
        " {Suffrage:Staging ID:n3 Address:}]"
    )
    servers = (
        Server("n1", "127.0.0.1:17000"),
        Server("n}2", "[::1]:7000", Suffrage.NONVOTER),
        Server("n3", "", Suffrage.STAGING),
    )
    assert printed(text) == Configuration(servers, index=None)
    assert printed(text, "12") == Configuration(servers, index=12)
    assert printed(text, None) == Configuration(servers)


def test_a_node_that_was_never_bootstrapped_has_no_servers() -> None:
    assert printed("[]") == Configuration(())


ONE = "{Suffrage:Voter ID:n1 Address:a:1}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "n1",
        ONE,
        f"[{ONE}",
        f"[{ONE} ]",
        f"[ {ONE}]",
        f"[{ONE}{ONE}]",
        f"[{ONE}  {ONE.replace('n1', 'n2')}]",
        f"[{ONE} {ONE}]",
        f"[{ONE} and more]",
        "[{Suffrage:Observer ID:n1 Address:a:1}]",
        "[{Suffrage:Voter ID: Address:a:1}]",
        "[{Suffrage:Voter ID:my node Address:a:1}]",
        "[{Suffrage:Voter ID:n1 Address:a:1 Zone:x}]",
        "[{ID:n1 Address:a:1}]",
        f"[{ONE.replace('n1', 'x' * 257)}]",
        f"[{' '.join(ONE.replace('n1', f'n{n}') for n in range(MAX_SERVERS + 1))}]",
    ],
    ids=lambda text: text[:50],
)
def test_what_is_not_all_of_one_list_is_no_configuration(text: str) -> None:
    assert printed(text) is None


NAME = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=30)


@given(
    st.lists(
        st.builds(Server, NAME, NAME, st.sampled_from(Suffrage)), max_size=8, unique_by=lambda each: each.id
    )
)
def test_whatever_go_prints_without_spaces_comes_back(servers: list[Server]) -> None:
    text = " ".join(
        f"{{Suffrage:{each.suffrage.capitalize()} ID:{each.id} Address:{each.address}}}" for each in servers
    )
    assert printed(f"[{text}]") == Configuration(tuple(servers))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("46.584898ms", 0.046584898),
        ("1m2.3s", 62.3),
        ("1h0m0.5s", 3600.5),
        ("250ns", 250e-9),
        ("12.5µs", 12.5e-6),
        ("0s", 0.0),
        ("0", None),
        ("", None),
        ("-1s", None),
        ("1s 2ms", None),
        ("1d", None),
        ("٣s", None),
        ("1s" * 21, None),
    ],
)
def test_go_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        (str(2**64 - 1), 2**64 - 1),
        (str(2**64), None),
        ("", None),
        ("+1", None),
        ("²", None),
    ],
)
def test_integers(text: str, number: int | None) -> None:
    assert integer(text) == number

"""Proofs of the cluster's secret: what is believed, and that nothing else is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_exporter.errors import ReportError
from raft_exporter.from_files import FromFiles
from raft_exporter.report_proof import Question, Secrets, secrets_from, verify_request
from raft_exporter.secret import Secret

API = Path(__file__).parents[1] / "docs" / "api.md"
OLD, NEW, OTHER = (
    Secret(f"{name} secret of the cluster".replace(" ", "-")) for name in ("old", "new", "other")
)
BODY = b'{"version": 1}'

secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=64).map(Secret)
members = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=256)


def proof_of(question: Question, known: Secrets, status: int = 200, body: bytes = BODY) -> str:
    asked = verify_request(question.authorization, known)
    assert asked is not None
    return asked.proof(status, body)


@given(secret=secrets, member=members, status=st.integers(200, 599), body=st.binary(max_size=100))
def test_who_has_the_secret_is_believed_both_ways(
    secret: Secret, member: str, status: int, body: bytes
) -> None:
    question = Question(member, [secret])
    assert question.is_answered_by(proof_of(question, [secret], status, body), status, body)


def test_the_secret_itself_is_not_in_the_question_nor_in_what_python_shows_of_it() -> None:
    question = Question("n2", [OLD, NEW])
    asked = verify_request(question.authorization, [OLD])
    for text in (question.authorization, repr(question), repr(asked)):
        assert OLD.reveal() not in text
        assert NEW.reveal() not in text


@given(member=members, position=st.integers(0), bit=st.integers(0, 6))
def test_a_question_with_any_bit_flipped_is_refused(member: str, position: int, bit: int) -> None:
    given_ = bytearray(Question(member, [OLD]).authorization.encode())
    # The scheme's case means nothing: its bits are in another test.
    given_[12 + position % (len(given_) - 12)] ^= 1 << bit
    assert verify_request(given_.decode("ascii"), [OLD]) is None


@given(
    body=st.binary(min_size=1, max_size=100),
    flip=st.sampled_from(["proof", "body", "status"]),
    position=st.integers(0),
    bit=st.integers(0, 6),
)
def test_an_answer_with_any_bit_flipped_is_refused(body: bytes, flip: str, position: int, bit: int) -> None:
    question, status = Question("n2", [OLD]), 200
    proof, changed = bytearray(proof_of(question, [OLD], status, body).encode()), bytearray(body)
    if flip == "proof":
        proof[position % len(proof)] ^= 1 << bit
    elif flip == "body":
        changed[position % len(changed)] ^= 1 << bit
    else:
        status ^= 1 << bit
    assert not question.is_answered_by(proof.decode("ascii"), status, bytes(changed))


@given(position=st.integers(0), bit=st.integers(0, 6))
def test_a_secret_with_any_bit_flipped_is_another(position: int, bit: int) -> None:
    changed = bytearray(OLD.reveal().encode())
    changed[position % len(changed)] ^= 1 << bit
    near = Secret(changed.decode("ascii"))
    question = Question("n2", [OLD])
    assert verify_request(question.authorization, [near]) is None
    theirs = Question("n2", [near], nonce_of(question))
    assert not question.is_answered_by(proof_of(theirs, [near]), 200, BODY)


def nonce_of(question: Question) -> str:
    found = re.search("nonce=([0-9a-f]{32}),", question.authorization)
    assert found is not None
    return found[1]


def proofs_in(authorization: str) -> list[str]:
    return re.findall("[0-9a-f]{64}", authorization)


def test_each_question_has_a_nonce_of_its_own_and_an_old_answer_is_none() -> None:
    first, second = Question("n2", [OLD]), Question("n2", [OLD])
    assert nonce_of(first) != nonce_of(second)
    assert not second.is_answered_by(proof_of(first, [OLD]), 200, BODY)


def test_an_answer_to_a_question_for_another_member_is_none() -> None:
    question = Question("n2", [OLD])
    assert not question.is_answered_by(proof_of(Question("n3", [OLD], nonce_of(question)), [OLD]), 200, BODY)


def test_a_question_sent_back_is_no_answer_and_an_answer_no_question() -> None:
    question = Question("n2", [OLD])
    (proof,) = proofs_in(question.authorization)
    assert not question.is_answered_by(proof, 200, b"")
    answer = proof_of(question, [OLD])
    assert verify_request(question.authorization.replace(proof, answer), [OLD]) is None


@pytest.mark.parametrize(
    "given_",
    [
        None,
        "",
        "Bearer old-secret-of-the-cluster",
        Question("n2", [OLD]).authorization + " ",
        Question("n2", [OLD]).authorization.replace(", proof", ",proof"),
        Question("n2", [OLD]).authorization.upper(),
        Question("n2", [OLD]).authorization.replace("n2", "n\udcff"),
        Question("n2", [OLD]).authorization.replace("n2", "n2" * 1537),
        Question("n2", [OLD, NEW, OTHER]).authorization,
    ],
)
def test_what_is_not_written_as_a_question_is_refused(given_: str | None) -> None:
    assert verify_request(given_, [OLD]) is None


def test_the_scheme_is_known_in_any_case() -> None:
    assert verify_request(Question("n2", [OLD]).authorization.replace("Raft-Report", "raft-REPORT"), [OLD])


@pytest.mark.parametrize("proof", ["", "é" * 64, "0" * 63, "0" * 65, "G" * 64])
def test_what_is_not_written_as_a_proof_is_refused(proof: str) -> None:
    assert not Question("n2", [OLD]).is_answered_by(proof, 200, BODY)


@pytest.mark.parametrize(
    ("asking", "answering"),
    [
        ([OLD], [OLD]),
        ([NEW, OLD], [OLD]),
        ([OLD], [NEW, OLD]),
        ([NEW, OLD], [NEW, OLD]),
        ([NEW], [NEW, OLD]),
        ([NEW, OLD], [NEW]),
        ([NEW], [NEW]),
    ],
)
def test_a_secret_is_replaced_with_no_gap(asking: Secrets, answering: Secrets) -> None:
    question = Question("n2", asking)
    assert question.is_answered_by(proof_of(question, answering), 200, BODY)


@pytest.mark.parametrize(
    ("asking", "answering"), [([NEW], [OLD]), ([NEW, OLD], [OTHER]), ([OTHER], [NEW, OLD])]
)
def test_secrets_that_have_none_in_common_are_refused(asking: Secrets, answering: Secrets) -> None:
    question = Question("n2", asking)
    assert verify_request(question.authorization, answering) is None
    theirs = Question("n2", answering, nonce_of(question))
    assert not question.is_answered_by(proof_of(theirs, answering), 200, BODY)


def test_the_documented_example_is_right() -> None:
    example = API.read_text().partition("### Who may have it")[2].partition("\n### ")[0]
    secret = re.search(r"secret `([^`]+)`", example)
    authorization = re.search(r"^Authorization: (.+)$", example, re.MULTILINE)
    proof = re.search(r"^Raft-Report-Proof: (.+)$", example, re.MULTILINE)
    body = re.search(r"^(\{.+\})$", example, re.MULTILINE)
    assert secret
    assert authorization
    assert proof
    assert body
    known = [Secret(secret[1])]
    asked = verify_request(authorization[1], known)
    assert asked is not None
    assert asked.proof(200, body[1].encode()) == proof[1]
    nonce = re.search("nonce=([0-9a-f]+)", authorization[1])
    assert nonce
    assert Question("n2/a", known, nonce[1]).authorization == authorization[1]


# the file

GOOD = "a-secret-of-the-cluster"


def revealed(found: FromFiles[Secrets]) -> list[str]:
    return [each.reveal() for each in found.get()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, [GOOD]),
        (f" {GOOD}\r\n\r\n", [GOOD]),
        (f"{GOOD}\n{GOOD}-before\n", [GOOD, f"{GOOD}-before"]),
    ],
)
def test_a_file_has_the_present_secret_and_perhaps_the_previous_one(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    (tmp_path / "s").write_text(text)
    assert revealed(secrets_from(str(tmp_path / "s"))) == expected


@pytest.mark.parametrize(
    "text",
    ["", "\n", "too-short", f"{GOOD}\ntoo-short", f"{GOOD}\n" * 3, f"{GOOD} b", f"{GOOD}é", "x" * 1025],
)
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").write_text(text)
    with pytest.raises(ReportError, match="expected one secret of 16 to 1024 visible ASCII") as error:
        secrets_from(str(tmp_path / "s"))
    assert GOOD not in str(error.value)
    assert "too-short" not in str(error.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"/s: No such file or directory$"):
        secrets_from(str(tmp_path / "s"))


def test_a_file_is_read_again_when_it_changes_and_what_is_no_secret_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, failures = tmp_path / "s", []
    file.write_text(GOOD)
    found = secrets_from(str(file))
    file.write_text("bad")
    for _ in range(3):
        assert revealed(found) == [GOOD]
    found.get(lambda: failures.append("bad"))
    assert failures == ["bad"]
    assert [each.getMessage() for each in caplog.records] == ["what changed can't be used"]
    with pytest.raises(ReportError):
        found.refresh()
    new = tmp_path / "new"
    new.write_text(f"{GOOD}-2")
    new.replace(file)
    assert revealed(found) == [f"{GOOD}-2"]
    os.unlink(file)
    assert revealed(found) == [f"{GOOD}-2"]
    assert len(caplog.records) == 2

"""The judge by properties: what holds for every evidence, previous verdict and time; H is one second."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from raft_exporter.model.judge import NEVER, MemberEvidence, Reason, State, Verdict, judge
from raft_exporter.model.policy import Policy

H = 1.0
POLICY = Policy.of(H)
NOW = 100.0
RANK = {State.ONLINE: 0, State.SUSPECT: 1, State.ASYMMETRIC: 2, State.STALLED: 2, State.OFFLINE: 3}


def times() -> st.SearchStrategy[float]:
    return st.one_of(st.just(NEVER), st.floats(NOW - 30, NOW))


def counts() -> st.SearchStrategy[int]:
    return st.integers(0, 5)


EVIDENCE = st.builds(
    MemberEvidence,
    armed_at=st.floats(NOW - 30, NOW),
    grace_until=times(),
    heartbeat_at=times(),
    contact_at=times(),
    status_at=times(),
    main_loop_at=times(),
    host_at=times(),
    asked_at=times(),
    connected=st.booleans(),
    unanswered=counts(),
    bad_answers=counts(),
    refusals=counts(),
    first_refusal_at=times(),
    last_refusal_at=times(),
    path_proven=st.booleans(),
    installing_snapshot=st.booleans(),
    run_count=counts(),
    run_first_at=times(),
    run_last_at=times(),
    isolated=st.booleans(),
    witness_at=times(),
    witness_since=times(),
    witness_main_loop_at=times(),
    silent_reporters=counts(),
    reporters_needed=st.integers(1, 4),
    gone_at=times(),
)
ALONE = EVIDENCE.map(
    lambda e: replace(e, witness_at=NEVER, witness_main_loop_at=NEVER, gone_at=NEVER, isolated=False)
)
PREVIOUS = st.builds(
    Verdict,
    state=st.sampled_from(State),
    reason=st.sampled_from(Reason),
    since=st.floats(0, NOW - 30),
    down=st.booleans(),
    penalty=st.floats(0, 8),
    penalty_at=st.floats(0, NOW - 30),
    flapping=st.booleans(),
    restored=st.booleans(),
).map(lambda v: replace(v, down=v.state is not State.ONLINE and (v.down or v.state is State.OFFLINE)))


@given(EVIDENCE, PREVIOUS)
def test_same_input_same_verdict(evidence: MemberEvidence, previous: Verdict) -> None:
    first = judge(evidence, POLICY, previous, NOW)
    assert judge(evidence, POLICY, previous, NOW) == first


def newest_success(evidence: MemberEvidence) -> float:
    return max(evidence.heartbeat_at, evidence.status_at, evidence.main_loop_at)


@given(EVIDENCE, PREVIOUS)
def test_online_needs_a_fresh_success_or_a_snapshot_that_another_vouches_for(
    evidence: MemberEvidence, previous: Verdict
) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    vouched = evidence.installing_snapshot and NOW - evidence.witness_at < 2 * H
    assert result.state is not State.ONLINE or NOW - newest_success(evidence) < 2 * H or vouched


@given(EVIDENCE, PREVIOUS)
def test_offline_needs_hard_evidence_or_long_silence_or_an_earlier_offline(
    evidence: MemberEvidence, previous: Verdict
) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    if result.state is not State.OFFLINE or previous.state is State.OFFLINE:
        return
    success_at = newest_success(evidence)
    silence = NOW - max(success_at, evidence.contact_at, evidence.armed_at, evidence.witness_at)
    failed = evidence.refusals + evidence.unanswered + evidence.bad_answers
    acceptable = {
        Reason.REFUSED: evidence.refusals >= 2
        and evidence.last_refusal_at - evidence.first_refusal_at >= 0.5 * H,
        Reason.PROCESS_GONE: evidence.gone_at > success_at and failed > 0,
        Reason.PROCESS_SILENT: evidence.unanswered >= 3
        and NOW - evidence.host_at < 2.5 * H
        and silence >= 10 * H
        and not evidence.isolated,
        Reason.SILENT_FOR_ALL: evidence.unanswered + evidence.bad_answers >= 3
        and silence >= POLICY.silent_after(evidence.silent_reporters, evidence.reporters_needed)
        and not evidence.isolated,
    }
    assert acceptable[result.reason]


@given(EVIDENCE, PREVIOUS)
def test_nobody_falls_on_silence_while_isolated_or_while_another_hears_it(
    evidence: MemberEvidence, previous: Verdict
) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    if evidence.isolated:
        assert result.reason not in {Reason.SILENT_FOR_ALL, Reason.PROCESS_SILENT, Reason.HEARD_BY_OTHERS}
    if NOW - evidence.witness_at < 2 * H:
        assert result.reason not in {Reason.SILENT_FOR_ALL, Reason.PROCESS_SILENT} or (
            previous.state is State.OFFLINE and result.reason is previous.reason
        )


@given(EVIDENCE, PREVIOUS)
def test_who_went_offline_is_down_until_online_and_pays_once(
    evidence: MemberEvidence, previous: Verdict
) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    if result.state is State.OFFLINE:
        assert result.down
    if result.state is State.ONLINE:
        assert not result.down
    if previous.down and not previous.restored:
        assert result.down or result.state is State.ONLINE
        assert (result.penalty, result.penalty_at) == (previous.penalty, previous.penalty_at)
    fell = result.state is State.OFFLINE and not previous.down
    expected = previous.penalty_now(POLICY, NOW) + fell
    assert abs(result.penalty_now(POLICY, NOW) - expected) < 1e-9 or previous.restored


@given(EVIDENCE, PREVIOUS)
def test_since_is_the_time_of_the_last_change(evidence: MemberEvidence, previous: Verdict) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    assert result.since == (previous.since if result.state is previous.state else NOW) or (
        previous.restored and result.since == NOW
    )


@given(EVIDENCE, PREVIOUS, st.floats(0, 0.999))
def test_who_was_offline_or_online_for_less_than_the_dwell_does_not_turn(
    evidence: MemberEvidence, previous: Verdict, age: float
) -> None:
    assume(not previous.restored)
    young = replace(previous, since=NOW - age * H)
    result = judge(evidence, POLICY, young, NOW)
    if result.state is young.state or State.UNKNOWN in {young.state, result.state}:
        return
    assert young.state is not State.ONLINE
    assert RANK[result.state] >= RANK[young.state]
    assert not (young.down and result.state is State.OFFLINE)


LATER = st.lists(st.floats(0.05, 3), min_size=2, max_size=12)


def ranks(verdicts: list[Verdict]) -> list[int]:
    return [RANK[each.state] for each in verdicts if each.state is not State.UNKNOWN]


@given(ALONE, PREVIOUS, LATER)
def test_silence_alone_never_makes_a_member_better(
    evidence: MemberEvidence, previous: Verdict, steps: list[float]
) -> None:
    """With nothing new, no host that answers and nobody else who speaks, the rank of the state never falls.

    Unknown has no rank: it claims nothing. Who was down and not offline is left out: its first verdict may
    still keep what was said of it when others spoke.
    """
    assume(previous.state is State.OFFLINE or not previous.down)
    silent = replace(evidence, host_at=NEVER, asked_at=NOW)
    now, verdicts = NOW, [judge(silent, POLICY, previous, NOW)]
    for step in steps:
        now += step
        verdicts.append(judge(silent, POLICY, verdicts[-1], now))
    assert ranks(verdicts) == sorted(ranks(verdicts))
    assert State.ONLINE not in {each.state for each in verdicts[1:]} or verdicts[0].state is State.ONLINE


AGES = st.tuples(st.floats(0, 4), st.floats(0, 4), st.floats(0, 4))


@given(EVIDENCE, AGES, st.booleans(), LATER)
def test_silence_never_makes_a_member_better_while_host_and_others_stay_as_they_are(
    evidence: MemberEvidence, ages: tuple[float, float, float], hears: bool, steps: list[float]
) -> None:
    """The same where the host's last sign and the others' last success are of a constant age.

    Of one that was not offline and refuses nothing: others who hear it bring an offline member back. And not
    of one whose main loop is silent for me while it answers others: that is a stall only while I hear it.
    """
    host, witness, main_loop = ages
    heard = NOW - max(evidence.heartbeat_at, evidence.status_at) < 2
    assume(not (hears and heard and witness + main_loop < 2))

    def at(now: float) -> MemberEvidence:
        told = {"witness_at": now - witness, "witness_main_loop_at": now - witness - main_loop}
        return replace(
            evidence, host_at=now - host, asked_at=NOW - 5, refusals=0, gone_at=NEVER,
            installing_snapshot=False, isolated=False, **(told if hears else {"witness_at": NEVER}),
        )  # fmt: skip

    first = Verdict(state=State.UNKNOWN, reason=Reason.NO_EVIDENCE, since=0.0)
    now, verdicts = NOW, [judge(at(NOW), POLICY, first, NOW)]
    for step in steps:
        now += step
        verdicts.append(judge(at(now), POLICY, verdicts[-1], now))
    assert ranks(verdicts) == sorted(ranks(verdicts))


@given(EVIDENCE, PREVIOUS, st.floats(0, 60))
def test_the_penalty_only_decays_while_nothing_falls(
    evidence: MemberEvidence, previous: Verdict, later: float
) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    assert result.penalty_now(POLICY, NOW + later) <= result.penalty_now(POLICY, NOW) + 1e-9
    assert result.penalty_now(POLICY, NOW + 300) * 2 == result.penalty_now(POLICY, NOW) or (
        abs(result.penalty_now(POLICY, NOW + 300) * 2 - result.penalty_now(POLICY, NOW)) < 1e-9
    )


@given(EVIDENCE, PREVIOUS)
def test_damping_never_delays_an_alarm(evidence: MemberEvidence, previous: Verdict) -> None:
    """Whatever the penalty, who is not down is judged the same."""
    assume(not previous.down and not previous.restored)
    calm = replace(previous, penalty=0.0, penalty_at=NEVER, flapping=False)
    one, other = judge(evidence, POLICY, previous, NOW), judge(evidence, POLICY, calm, NOW)
    assert (one.state, one.reason, one.since) == (other.state, other.reason, other.since)


@given(EVIDENCE, PREVIOUS, st.sampled_from([0.01, 0.3, 5.0]))
def test_verdicts_scale_with_the_heartbeat_timeout(
    evidence: MemberEvidence, previous: Verdict, factor: float
) -> None:
    """Ages of the same number of H give the same verdict, but for the keepalive's floor of 2.5 s."""

    def scaled(at: float) -> float:
        return NOW - (NOW - at) * factor

    times_of = [
        name for name in MemberEvidence.__struct_fields__ if name.endswith(("_at", "_until", "_since"))
    ]
    other = replace(evidence, **{name: scaled(getattr(evidence, name)) for name in times_of})
    one, many = Policy.of(H), Policy.of(H * factor)
    one = replace(one, host_fresh=2 * H)
    many = replace(many, host_fresh=2 * H * factor, gone_after=5.5 * H * factor, alone_after=15 * H * factor)
    previous = replace(previous, penalty=0.0)  # its half-life is judged elsewhere
    edges = (
        0.5,
        2,
        3,
        5.5,
        10,
        15,
        POLICY.silent_after(evidence.silent_reporters, evidence.reporters_needed),
    )
    ages = [NOW - getattr(evidence, name) for name in times_of]
    ages += [
        evidence.last_refusal_at - evidence.first_refusal_at,
        evidence.run_last_at - evidence.run_first_at,
    ]
    if any(abs(age - edge) < 1e-6 for age in ages for edge in edges):
        return  # rounding decides at the very edge
    first, second = judge(evidence, one, previous, NOW), judge(other, many, previous, NOW)
    assert (first.state, first.reason) == (second.state, second.reason)

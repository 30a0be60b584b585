"""The status page in a real browser, on a real cluster that things happen to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from raft_exporter.answers import Event
from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import Cluster, Node, Settings, SidecarProcess, raftnode, until
from raft_exporter.errors import ClientError
from raft_exporter.model.judge import State
from raft_exporter.web.page import POLICY
from tests.conftest import Need
from tests.e2e.browser import OUT_OF_REACH, Visit, moments, next_states, portraits

pytestmark = pytest.mark.integration

TOKEN: Final = "correct-horse"
PROMPT: Final = 2.0
"""Seconds from the verdict until the page shows it."""
_LOOK: Final = """
    (state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }
"""
_NAME: Final = (
    "(element) => element.ariaLabel ?? element.getAttribute('aria-labelledby') ?? element.textContent"
)
_ACTING: Final = f"""
    Array.from(document.querySelectorAll("a[href], button, input, select, [tabindex='0']"))
      .filter((element) => element.checkVisibility()).map({_NAME})
"""

Begin = Callable[[str], Visit]


class Place:
    """Three nodes: the leader's sidecar is watched, another's wants a token, the third is to be killed."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.leader = cluster.leader().id
        self.other, self.victim = sorted(node.id for node in cluster.followers())
        until("all members online", self.whole)

    @property
    def watched(self) -> SidecarProcess:
        return self.cluster.sidecars[self.leader]

    @property
    def guarded(self) -> SidecarProcess:
        return self.cluster.sidecars[self.other]

    def whole(self) -> bool:
        """Whether every sidecar knows the leader, and judges all online, by evidence of its present life."""
        try:
            views = [sidecar.cluster() for sidecar in self.cluster.sidecars.values()]
        except ClientError:
            return False
        return all(
            view.node.leader is not None
            and [(each.state, each.restored) for each in view.members] == [(State.ONLINE, False)] * 3
            for view in views
        )

    def events(self) -> tuple[Event, ...]:
        return SidecarClient(self.watched.url).events(0, 100, None).entries

    @contextmanager
    def dead(self) -> Iterator[Node]:
        """The third node is killed, and is back at the end."""
        node = self.cluster.nodes[self.victim]
        node.kill()
        try:
            yield node
        finally:
            node.start()
            until("all members online", self.whole)


@pytest.fixture(scope="module")
def place(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    need("raftnode", raftnode)
    settings = Settings("500ms", "500ms", "250ms", store="bolt")
    with Cluster(tmp_path_factory.mktemp("page"), settings=settings) as cluster:
        place = Place(cluster)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAFT_EXPORTER_TOKEN", TOKEN)
            place.guarded.stop()
            place.guarded.start()
        until("all members online", place.whole)
        yield place


def row(page: Page, member: str) -> Locator:
    return page.locator(f'#members tbody tr[data-key="{member}"]')


def cell(reporter: str, member: str) -> str:
    return f'#sight tbody tr[data-key="{reporter}"] td[data-key="{member}"]'


def journal(page: Page) -> list[str]:
    """The sentences of the page's journal, the latest first, without their shapes."""
    return [re.sub(r"^\W ", "", text) for text in page.locator("#journal li span").all_inner_texts()]


def to_button(page: Page, name: str) -> None:
    """Press Tab until this button has the focus."""
    wanted = page.get_by_role("button", name=name)
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
    pytest.fail(f"the keyboard does not reach {name}")


def test_the_page_shows_a_healthy_cluster(place: Place, visit: Begin) -> None:
    answer, page = (made := visit(place.watched.url)).open(), made.page
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    expect(page.locator("#may-fail")).to_have_text("1 more may fail")
    expect(page.locator("#voters")).to_have_text("3 of 3 voters online, quorum 2")
    expect(page.locator("#leader")).to_have_text(place.leader)
    expect(page.locator("#members tbody .state")).to_have_text(["● online"] * 3)
    expect(page.locator("#trouble")).to_have_text("nobody")
    expect(page.locator("#unseen")).to_have_text("Everybody who reports sees everybody.")
    expect(page.locator("#sight tbody td[data-sight=seen]")).to_have_count(9)
    expect(page).to_have_title(f"{place.leader}: 1 more may fail")
    expect(page.locator("#stale")).to_be_hidden()


def test_what_does_not_come_from_the_sidecar_itself_is_blocked(place: Place, visit: Begin) -> None:
    made = visit(place.watched.url)
    page, elsewhere = made.page, place.guarded.url
    made.allow("Content Security Policy", "TrustedScript|TrustedHTML", "another host", "failed: .*: csp")
    page.add_init_script(
        "window.blocked = [];"
        "document.addEventListener('securitypolicyviolation', (e) => blocked.push(e.effectiveDirective));"
    )
    smuggled = (
        f"<script>window.owned = true</script><img id=foreign src={elsewhere}/page/icon.svg>"
        f"<p style='color: red' onclick='owned = true'></p><script src={elsewhere}/page/words.js></script>"
    )

    def smuggle(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("</main>", f"{smuggled}</main>"))

    page.route(f"{place.watched.url}/", smuggle)
    made.open()
    refused = page.evaluate(
        """async (elsewhere) => {
          const failed = [];
          await fetch(`${elsewhere}/api/v1/cluster`).catch(() => failed.push("fetch"));
          try { document.body.innerHTML = "<p>"; } catch { failed.push("innerHTML"); }
          return failed;
        }""",
        elsewhere,
    )
    assert refused == ["fetch", "innerHTML"]
    assert page.evaluate("typeof owned") == "undefined"
    assert page.evaluate("document.querySelector('#foreign').naturalWidth") == 0
    directives = {"script-src-elem", "script-src-attr", "style-src-attr", "img-src", "connect-src"}
    assert set(page.evaluate("blocked")) == directives | {"require-trusted-types-for"}


def test_a_dead_node_is_shown_within_two_seconds_of_the_verdict(place: Place, visit: Begin) -> None:
    page, victim, leader = (made := visit(place.watched.url)).page, place.victim, place.leader
    made.open()
    last = place.events()[-1].id
    told = moments(
        page,
        {
            "matrix": (cell(leader, victim), "title", f"It judges {victim} offline: its host refuses"),
            "members": (f'#members tr[data-key="{victim}"] .state', "text", "✕ offline"),
            "journal": ("#journal li", "text", f"{victim} is offline"),
            "aloud": ("#news[role=status]", "text", f"{victim} is offline"),
        },
    )
    with place.dead():
        shown = told()
        entries = [entry for entry in place.events() if entry.id > last and entry.after == "offline"]
        assert [entry.peer for entry in entries] == [victim]
        late = {name: at - entries[0].at for name, at in shown.items()}
        assert max(late.values()) <= PROMPT, late
        expect(page.locator(cell(leader, victim))).to_contain_text("refused")
        expect(row(page, victim).locator(".why")).to_contain_text("refuses connections to the Raft port")
        expect(page.locator("#unseen")).to_contain_text(
            re.compile(rf"{victim} is not heard by .*\b{leader} \(refused, \d+s\)")
        )
        expect(page.locator("#trouble")).to_contain_text(f"{victim} is offline: its host refuses connections")
        expect(page.locator("#may-fail")).to_have_text("none may fail")
    expect(row(page, victim).locator(".state")).to_have_text("● online")
    expect(page.locator("#unseen")).to_have_text("Everybody who reports sees everybody.")
    expect(page.locator("#may-fail")).to_have_text("1 more may fail")


def test_an_override_is_set_and_cleared_by_clicking(place: Place, visit: Begin) -> None:
    made, second, victim = visit(place.watched.url), visit(place.guarded.url), place.victim
    page, elsewhere = made.page, second.page
    made.open()
    second.open()
    row(page, victim).get_by_role("button").click()
    expect(page.get_by_role("dialog", name=f"Override {victim}")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_hidden()
    page.get_by_label("Show it as").select_option("offline")
    page.get_by_label("For").select_option("2 hours")
    page.get_by_label("Reason").fill("disk swap")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    for shown in (page, elsewhere):
        expect(shown.locator("#overrides")).to_contain_text(
            re.compile(rf"{victim} is shown as ✕ offline for (2h00m|1h59m) more, by ann: disk swap")
        )
        expect(row(shown, victim).locator(".state")).to_have_text("✕ offline, by hand")
        expect(row(shown, victim).locator(".why")).to_contain_text("judged online: it is heard")
        expect(shown.locator("#journal")).to_contain_text(
            f"{victim} is shown as offline for 2h00m by ann: disk swap"
        )
    page.get_by_role("button", name=f"Clear the override of {victim}").click()
    expect(page.get_by_label("Show it as")).to_be_hidden()
    expect(page.get_by_label("Your name")).to_have_value("ann")
    page.get_by_role("dialog").get_by_role("button", name="Clear").click()
    for shown in (page, elsewhere):
        expect(shown.locator("#overrides")).to_have_text("None stands.")
        expect(row(shown, victim).locator(".state")).to_have_text("● online")
        expect(shown.locator("#journal")).to_contain_text(f"the override of {victim} was cleared by ann")


def test_an_override_is_set_and_cleared_by_keyboard_with_the_token(place: Place, visit: Begin) -> None:
    made = visit(place.guarded.url)
    made.allow("401")
    made.open()
    page, keys, victim = made.page, made.page.keyboard, place.victim
    to_button(page, f"Override {victim}")
    keys.press("Enter")
    keys.type("ign")  # in the list of states
    keys.press("Tab")
    keys.press("Tab")
    keys.type("disk swap")
    keys.press("Tab")
    keys.type("eve")
    keys.press("Tab")
    keys.type("wrong")
    keys.press("Enter")
    expect(page.locator("#change-error[role=alert]")).to_have_text(
        "expected the bearer token of this sidecar"
    )
    expect(page.get_by_role("dialog")).to_be_visible()
    assert SidecarClient(place.guarded.url).overrides().overrides == ()
    page.get_by_label("Token").fill("wr\u00f6ng \u2713")
    keys.press("Enter")
    expect(page.locator("#change-error")).to_have_text("expected a token of visible ASCII characters")
    keys.press("ControlOrMeta+a")
    keys.type(TOKEN)
    keys.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name=f"Override {victim}")).to_be_focused()
    expect(row(page, victim).locator(".state")).to_have_text("● online, ignored")
    expect(page.locator("#overrides")).to_contain_text(f"{victim} is ignored for")
    to_button(page, f"Clear the override of {victim}")
    keys.press("Enter")
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#overrides")).to_contain_text(f"{victim} is ignored for")
    keys.press("Enter")
    keys.type("done")
    keys.press("Enter")
    expect(page.locator("#overrides")).to_have_text("None stands.")
    expect(page.locator("#overrides-title")).to_be_focused()
    expect(page.locator("#journal li").first).to_contain_text(
        f"the override of {victim} was cleared by eve: done"
    )


def test_a_restarted_sidecar_is_stale_first_and_live_again_without_a_reload(
    place: Place, visit: Begin
) -> None:
    made = visit(place.watched.url)
    made.allow(OUT_OF_REACH)
    made.open()
    page = made.page
    page.evaluate("window.unbroken = true")
    place.watched.stop()
    try:
        expect(page.locator("#stale[role=alert]")).to_contain_text("Stale: the sidecar was last heard")
        expect(page.locator("#stale")).to_contain_text("it can't be reached")
        expect(page.locator("#live")).to_have_text("stale")
        expect(page.locator("#members tbody .state")).to_have_text(["● online"] * 3)
        expect(page.locator("#journal li")).not_to_have_count(0)
    finally:
        place.watched.start()
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#stale")).to_be_hidden()
    until("all members online", place.whole)
    expect(page.locator("#members tbody .state")).to_have_text(["● online"] * 3)
    assert page.evaluate("window.unbroken")
    sentences = [entry.text for entry in reversed(place.events())]
    assert sentences.count("this sidecar started") > 1
    until("the journal of the new life", lambda: journal(page)[-len(sentences) :] == sentences)


def test_a_frozen_sidecar_is_stale_and_live_again_when_it_goes_on(place: Place, visit: Begin) -> None:
    made = visit(place.watched.url)
    made.open()
    page = made.page
    try:
        with page.expect_request("**/api/v1/stream"):  # it gives the deaf connection up
            place.watched.freeze()
            expect(page.locator("#live")).to_have_text("stale", timeout=6000)
        expect(page.locator("#stale[role=alert]")).to_contain_text("it says nothing")
        expect(page.locator("#members tbody .state")).to_have_text(["● online"] * 3)
    finally:
        place.watched.thaw()
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#stale")).to_be_hidden()
    until("all members online", place.whole)


def test_focus_and_what_is_typed_stay_while_the_page_updates(place: Place, visit: Begin) -> None:
    made = visit(place.watched.url)
    made.open()
    page = made.page
    button, reason = row(page, place.victim).get_by_role("button"), page.get_by_label("Reason")
    button.focus()
    next_states(page, 2)
    expect(button).to_be_focused()
    button.press("Enter")
    page.get_by_label("Show it as").select_option("stalled")
    reason.press_sequentially("disk ")
    next_states(page, 2)
    expect(reason).to_be_focused()
    page.keyboard.type("swap")
    expect(reason).to_have_value("disk swap")
    expect(page.get_by_label("Show it as")).to_have_value("stalled")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()


def test_a_page_that_nobody_looks_at_asks_for_nothing(place: Place, visit: Begin) -> None:
    made = visit(place.watched.url)
    page = made.page
    page.clock.install()
    made.open()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/v1/stream")):
        page.evaluate(_LOOK, "hidden")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(30_000)
    assert asked == []
    with page.expect_request("**/api/v1/stream"):
        page.evaluate(_LOOK, "visible")
    next_states(page, 1)
    expect(page.locator("#live")).to_have_text("live")


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(place: Place, visit: Begin) -> None:
    made = visit(place.watched.url)
    made.open()
    page = made.page
    acting = page.evaluate(_ACTING)
    assert len(acting) >= 11
    reached = []
    for _ in acting:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(f"({_NAME})(document.activeElement)"))
    assert reached == acting
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "BODY"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "members"


def test_headings_go_down_one_level_at_a_time(place: Place, visit: Begin) -> None:
    made = visit(place.watched.url)
    made.open()
    levels = [
        int(tag[1])
        for tag in made.page.evaluate(
            "Array.from(document.querySelectorAll('h1, h2, h3, h4, h5, h6')).map((each) => each.tagName)"
        )
    ]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("state", ["healthy", "dead", "stale", "dialog"])
def test_the_page_looks_and_reads_well(state: str, place: Place, visit: Begin, pictures: Path) -> None:
    made = visit(place.watched.url)
    made.open()
    page = made.page
    with ExitStack() as stack:
        match state:
            case "dead":
                stack.enter_context(place.dead())
                expect(row(page, place.victim).locator(".state")).to_have_text("✕ offline")
            case "stale":
                made.allow(OUT_OF_REACH)
                stack.callback(until, "all members online", place.whole)
                stack.callback(place.watched.start)
                place.watched.stop()
                expect(page.locator("#stale")).to_be_visible()
            case "dialog":
                row(page, place.victim).get_by_role("button").click()
                expect(page.get_by_role("dialog")).to_be_visible()
        assert portraits(page, state, pictures) == []

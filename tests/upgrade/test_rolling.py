"""Sidecars of the last tagged version and of this tree beside each other, and one after the other."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from raft_exporter.demo.cluster import free_ports
from raft_exporter.evidence_log import Adopted, Losses, read_store
from tests.conftest import Need
from tests.unmeasured import unmeasured
from tests.upgrade.raft_ports import RaftPort, Way
from tests.upgrade.sidecars import ROOT, Clock, H, Sidecar, running

# While there is no tag; the last one takes its place.
LAST_RELEASE: Final = "018636d41d611f51d7800b96a7719abe002e4abf"
"""The last commit that was released."""

MEMBERS: Final = ("n1", "n2", "n3", "n4")
"""n1 and n2 have sidecars, n3 and n4 have none."""

ONLINE: Final = dict.fromkeys(MEMBERS, "online: fresh")
HOUR: Final = 3600.0


@pytest.fixture(scope="module")
def old(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the package as it was at the last tag."""
    git = need("git", lambda: shutil.which("git"))
    need("a checkout", lambda: (ROOT / ".git").exists() or None)

    def ask(*arguments: str) -> bytes:
        done = subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.decode().strip())
        return done.stdout

    try:
        last = ask("describe", "--tags", "--abbrev=0").decode().strip()
    except OSError:
        last = LAST_RELEASE
    if ask("rev-parse", "--is-shallow-repository") == b"true\n":
        pytest.skip("a shallow clone has no earlier version")
    packed = need(
        f"the history back to {last} (no shallow clone)", lambda: ask("archive", last, "raft_exporter")
    )
    home = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(home, filter="data")
    return home


class Site:
    """Two nodes with sidecars, two without: the Raft ports, the clock, and each sidecar's configuration."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = Clock()
        self.ports = {(me, peer): RaftPort(peer) for me in ("n1", "n2") for peer in MEMBERS}
        """By sidecar and member: so a link can be cut and the others stay."""
        self._web = {me: f"127.0.0.1:{port}" for me, port in zip(("n1", "n2"), free_ports(2), strict=True)}

    def config(self, me: str) -> dict[str, Any]:
        """The configuration that either version takes."""
        other = "n2" if me == "n1" else "n1"
        return {
            "node": {"id": me, "raft": self.ports[me, me].address, "heartbeat_timeout": f"{H:g}s"},
            "peers": [
                {"id": peer, "address": self.ports[me, peer].address} for peer in MEMBERS if peer != me
            ],
            "web": {"listen": [self._web[me]]},
            "observer": {"listen": []},
            "reports": {"sidecars": [{"id": other, "url": f"http://{self._web[other]}"}]},
            "store": {"path": str(self.store(me))},
        }

    def store(self, me: str) -> Path:
        """Its database."""
        return self.home / f"{me}.db"

    def sidecar(self, me: str, package: Path) -> AbstractAsyncContextManager[Sidecar]:
        """A sidecar of that version."""
        return running(self.clock, package, self.config(me), self.home)

    async def turn(self, way: Way, *links: tuple[str, str]) -> None:
        """Turn the ports that these sidecars have for these members."""
        for link in links:
            await self.ports[link].turn(way)

    async def until_judged(self, *expected: tuple[Sidecar, dict[str, str]], within: float) -> None:
        """Let time pass until each sidecar judges so, and all others online."""

        async def states() -> list[dict[str, str]]:
            return [await each.states() for each, _ in expected]

        await self.clock.until(states, [ONLINE | states for _, states in expected], within)

    async def until_overridden(
        self, *sidecars: Sidecar, expected: dict[str, tuple[str, ...]], within: float
    ) -> None:
        """Let time pass until each of the sidecars has these overrides."""

        async def overrides() -> list[dict[str, tuple[str, ...]]]:
            return [await each.overrides() for each in sidecars]

        await self.clock.until(overrides, [expected] * len(sidecars), within)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    await site.turn(Way.OPEN, *site.ports)
    yield site
    for port in site.ports.values():
        await port.close()


@asynccontextmanager
async def mixed(site: Site, old: Path) -> AsyncIterator[tuple[Sidecar, Sidecar]]:
    """n1 with the old version, n2 with this one, both judging everybody online."""
    async with site.sidecar("n1", old) as n1, site.sidecar("n2", ROOT) as n2:
        await site.until_judged((n1, {}), (n2, {}), within=4 * H)
        yield n1, n2


async def test_for_an_hour_each_understands_the_others_reports_and_overrides(site: Site, old: Path) -> None:
    async with mixed(site, old) as (n1, n2):
        began = site.clock.now
        await overrides_go_both_ways(site, n1, n2)
        await sights_go_both_ways(site, n1, n2)
        assert site.clock.now < began + HOUR
        await site.clock.run_to(began + HOUR)
        for sidecar, other in ((n1, "n2"), (n2, "n1")):
            assert await sidecar.states() == ONLINE
            assert await sidecar.rejected() == {}
            assert await sidecar.metric("raft_exporter_store_errors_total") == {}
            asked = {"peer": other, "probe": "sidecar"}
            assert await sidecar.metric("raft_peer_probe_failures_total", **asked) == {}
            assert sum((await sidecar.metric("raft_peer_probes_total", **asked)).values()) > HOUR / H
            (told,) = (each for each in (await sidecar.get("cluster"))["reporters"] if each["id"] == other)
            assert told["credible"]
            assert {peer for peer, sight in told["sees"].items() if sight["seen"]} == set(MEMBERS)


def fields(value: object, path: str = "") -> set[str]:
    """The paths of all fields in a report."""
    if isinstance(value, list):
        return set().union(*(fields(each, f"{path}[]") for each in value))
    if isinstance(value, dict) and path != ".sidecars":
        return set().union({path}, *(fields(each, f"{path}.{name}") for name, each in value.items()))
    return {path}


async def overrides_go_both_ways(site: Site, n1: Sidecar, n2: Sidecar) -> None:
    await n1.override("n3", "offline", HOUR, "ann")
    await n2.override("n4", "ignore", HOUR, "bob")
    of_ann, of_bob = ("offline", "ann", "of ann", "n1"), ("ignore", "bob", "of bob", "n2")
    await site.until_overridden(n1, n2, expected={"n3": of_ann, "n4": of_bob}, within=2 * H)
    old_fields, new_fields = fields(await n1.get("report")), fields(await n2.get("report"))
    assert len(old_fields) > 20
    assert old_fields <= new_fields, "a field may be added to the report; none goes or gets another name"
    await n2.clear("n3", "bob")
    await n1.clear("n4", "ann")
    await site.until_overridden(n1, n2, expected={}, within=2 * H)

    await n1.override("n3", "stalled", 3 * H, "ann")
    await n2.override("n4", "offline", 3 * H, "bob")
    of_ann, of_bob = ("stalled", "ann", "of ann", "n1"), ("offline", "bob", "of bob", "n2")
    await site.until_overridden(n1, n2, expected={"n3": of_ann, "n4": of_bob}, within=2 * H)
    await site.until_overridden(n1, n2, expected={}, within=4 * H)
    for sidecar in (n1, n2):
        told = [(each["kind"], each["peer"]) for each in await sidecar.events() if "override" in each]
        for peer in ("n3", "n4"):
            kinds = [kind for kind, of in told if of == peer]
            assert kinds == ["override_set", "override_cleared", "override_set", "override_expired"]


async def sights_go_both_ways(site: Site, n1: Sidecar, n2: Sidecar) -> None:
    cut = ("n1", "n3"), ("n2", "n4")
    await site.turn(Way.SILENT, *cut)
    heard = "asymmetric: heard_by_others"
    await site.until_judged((n1, {"n3": heard}), (n2, {"n4": heard}), within=15 * H)
    await site.turn(Way.OPEN, *cut)
    await site.until_judged((n1, {}), (n2, {}), within=4 * H)

    # To the other one silent and no more: that its process is gone, its own sidecar says.
    await site.turn(Way.CLOSED, ("n1", "n1"))
    await site.turn(Way.SILENT, ("n2", "n1"))
    refused, gone = "offline: refused", "offline: process_gone"
    await site.until_judged((n1, {"n1": refused}), (n2, {"n1": gone}), within=5 * H)
    await site.turn(Way.OPEN, ("n1", "n1"), ("n2", "n1"))
    await site.until_judged((n1, {}), (n2, {}), within=8 * H)
    await site.turn(Way.CLOSED, ("n2", "n2"))
    await site.turn(Way.SILENT, ("n1", "n2"))
    await site.until_judged((n1, {"n2": gone}), (n2, {"n2": refused}), within=5 * H)
    await site.turn(Way.OPEN, ("n2", "n2"), ("n1", "n2"))
    await site.until_judged((n1, {}), (n2, {}), within=8 * H)

    # Without the other's word it would take 15 H.
    lost = ("n1", "n3"), ("n2", "n3")
    await site.turn(Way.LOST, *lost)
    silent = {"n3": "offline: silent_for_all"}
    await site.until_judged((n1, silent), (n2, silent), within=9 * H)
    for sidecar in (n1, n2):
        assert (await sidecar.events())[-1]["evidence"]["silent_reporters"] == 1
    await site.turn(Way.OPEN, *lost)
    await site.until_judged((n1, {}), (n2, {}), within=8 * H)


def rehearse(package: Path, store: Path) -> Any:
    """Have that version judge the stored evidence again."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "raft_exporter", "rehearse", "--json", "--store", str(store)],
        cwd=store.parent,
        env=unmeasured() | {"PYTHONPATH": str(package)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


@pytest.mark.parametrize("back", [False, True], ids=["upgrade", "way-back"])
async def test_what_is_stored_outlives_the_other_version(*, back: bool, site: Site, old: Path) -> None:
    before, after = (ROOT, old) if back else (old, ROOT)
    links = ("n1", "n3"), ("n2", "n3")
    async with site.sidecar("n2", ROOT) as n2:
        async with site.sidecar("n1", before) as n1:
            await site.until_judged((n1, {}), (n2, {}), within=4 * H)
            await site.turn(Way.CLOSED, *links)
            gone = {"n3": "offline: refused"}
            await site.until_judged((n1, gone), (n2, gone), within=5 * H)
            if back:  # what the first release had no word for comes into the store
                await n1.reload(site.config("n1") | {"policy": {"dwell": 2}})
                await site.clock.run_to(site.clock.now + 5)
            await n1.override("n4", "ignore", HOUR, "ann")
            assert back is any(isinstance(each, Adopted) for each in read_store(site.store("n1"), Losses()))
            journal, overrides = await n1.events(), await n1.overrides()
            shown = {each["peer"]: each["expires_at"] for each in (await n1.get("overrides"))["overrides"]}
        async with site.sidecar("n1", after) as n1:
            assert await n1.overrides() == overrides == {"n4": ("ignore", "ann", "of ann", "n1")}
            again = (await n1.get("overrides"))["overrides"]
            assert {each["peer"]: each["expires_at"] for each in again} == shown
            entries = await n1.events()
            assert entries[: len(journal)] == journal
            assert [each["id"] for each in entries] == list(range(1, len(entries) + 1))
            assert entries[len(journal)]["kind"] == "started"
            assert (await n1.states())["n3"] == "offline: restored"
            await site.until_judged((n1, gone), (n2, gone), within=4 * H)
            await site.turn(Way.OPEN, *links)
            await site.until_judged((n1, {}), (n2, {}), within=8 * H)
            for sidecar in (n1, n2):
                assert await sidecar.rejected() == {}
                assert await sidecar.metric("raft_exporter_store_errors_total") == {}
    assert sorted(path.name for path in site.home.glob("*.db*")) == ["n1.db", "n2.db"]
    evidence = rehearse(after, site.store("n1"))["evidence"]
    # An older version leaves out the block that has it.
    assert evidence["beginnings"] >= 2
    assert evidence["damaged_blocks"] <= back


async def test_a_secret_that_one_knows_of_keeps_reports_apart_and_nothing_else(site: Site, old: Path) -> None:
    (site.home / "secret").write_text("an-example-is-no-secret")
    async with mixed(site, old) as (n1, n2):
        config = site.config("n2")
        secret = {"token_file": str(site.home / "secret")}
        await n2.reload(config | {"reports": config["reports"] | secret})
        await site.clock.run_to(site.clock.now + 5 * H)
        # The word of a version that knows of no secret, and those of one that does.
        words = {("status",), ("unauthorized",), ("too_many_requests",)}
        assert set() < (await n1.rejected()).keys() <= words
        assert (await n2.rejected()).keys() == {("unproved",)}
        assert await n1.states() == await n2.states() == ONLINE
        await n2.reload(config)
        await site.clock.run_to(site.clock.now + 2 * H)
        refused = await n1.rejected(), await n2.rejected()
        await n1.override("n3", "offline", HOUR, "ann")
        await site.until_overridden(n2, expected=await n1.overrides(), within=2 * H)
        await site.clock.run_to(site.clock.now + 5 * H)
        assert (await n1.rejected(), await n2.rejected()) == refused

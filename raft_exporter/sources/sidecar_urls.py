"""Where the sidecars of the other members are: configured, by a template, or told by other sidecars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from raft_exporter.errors import ConfigError
from raft_exporter.notation import host_of_url, parse_address, parse_sidecar_url, same_host_key

_CANDIDATES: Final = 4
"""Told URLs of one member that are kept; one more is taken in the place of one that fails."""
_REFUSED: Final = 16
"""URLs of one member that are known to be another's, and not taken again."""
_FAILURES: Final = 3
"""Failed attempts in a row, after which another told URL has its turn, and this one is told to nobody."""


class SidecarPlace(Struct, frozen=True):
    """The base URL of one member's sidecar.

    ``on_host``: at the host of the member's Raft address. Only then, or once its report came from there, does
    a refusal prove that the member's host lives. ``told``: known from another sidecar alone.
    """

    url: str
    on_host: bool
    told: bool = False


class SidecarUrls:
    """The base URL of each member's sidecar. It does no I/O.

    A configured URL goes before the template, and both go before what other sidecars tell: that is used only
    where nothing else is known, tried in turn, and dropped when it proves to be of another node.
    """

    def __init__(
        self, configured: Mapping[str, str], template: str | None = None, advertised: str | None = None
    ) -> None:
        self.configure(configured, template, advertised)
        self._told: dict[str, dict[str, int]] = {}
        """By member: URLs in the order in which they are tried, with their failures in a row."""
        self._refused: dict[str, list[str]] = {}
        self._working: dict[str, str] = {}
        self._streaks: dict[str, int] = {}
        """By member: failed attempts in a row."""
        self._proved: dict[str, str] = {}
        """By member: where its report came from last."""

    def configure(
        self, configured: Mapping[str, str], template: str | None = None, advertised: str | None = None
    ) -> None:
        """Take up what is configured now; what was told stays."""
        self._configured = dict(configured)
        self._template = template
        self._advertised = advertised

    def places(self, members: Mapping[str, str], own: str | None) -> dict[str, SidecarPlace]:
        """Give the place of each other member's sidecar that is known; ``members`` are Raft addresses by id.

        Whatever is known of somebody else is forgotten.
        """
        for known in (self._told, self._refused, self._working, self._streaks, self._proved):
            for peer in [peer for peer in known if peer not in members]:
                del known[peer]
        found = {peer: self._place(peer, _host(members[peer])) for peer in members if peer != own}
        places = {peer: place for peer, place in found.items() if place is not None}
        for peer, url in list(self._working.items()):
            if peer not in places or places[peer].url != url:
                del self._working[peer]
        return places

    def told(self, urls: Mapping[str, str], members: Iterable[str]) -> None:
        """Take what another sidecar tells, of members alone."""
        for peer in members:
            url = urls.get(peer)
            known = self._told.get(peer, {})
            if url is None or url in known or url in self._refused.get(peer, ()):
                continue
            if len(known) >= _CANDIDATES:
                failed = [each for each, failures in known.items() if failures >= _FAILURES]
                if not failed:
                    continue
                del known[failed[-1]]
            self._told[peer] = known | {url: 0}

    def succeeded(self, peer: str, url: str) -> None:
        """Note that the member's report came from ``url``."""
        self._working[peer] = self._proved[peer] = url
        self._streaks[peer] = 0
        if url in self._told.get(peer, {}):
            self._told[peer][url] = 0

    def failed(self, peer: str, url: str) -> None:
        """Note that no report came from ``url``. After three in a row the next told URL has its turn."""
        self._streaks[peer] = self._streaks.get(peer, 0) + 1
        if self._streaks[peer] >= _FAILURES:
            self._working.pop(peer, None)
        known = self._told.get(peer, {})
        if url in known:
            known[url] += 1
            if known[url] % _FAILURES == 0:
                known[url] = known.pop(url)  # to the end

    def belongs_to_another(self, peer: str, url: str) -> None:
        """Note that another node's report came from ``url``: a told one is dropped for good."""
        self._working.pop(peer, None)
        if self._proved.get(peer) == url:
            del self._proved[peer]
        if self._told.get(peer, {}).pop(url, None) is not None:
            refused = self._refused.setdefault(peer, [])
            refused.append(url)
            del refused[:-_REFUSED]

    def telling(self, own: str | None) -> dict[str, str]:
        """Give what is told to the other sidecars: the URLs that work, and the own one."""
        advertised = {own: self._advertised} if own is not None and self._advertised is not None else {}
        return dict(sorted((self._working | advertised).items()))

    def of_all(self, members: Mapping[str, str], own: str | None) -> dict[str, str]:
        """Give the URL of each member's sidecar that is known; the own one by what is configured alone.

        A told one is given once the member's report came from it, and from then on: whoever scrapes it shows
        it a password.
        """
        places = {peer: self._place(peer, _host(members[peer])) for peer in members}
        urls = {peer: url for peer, url in self._proved.items() if peer in members and peer != own}
        urls |= {peer: place.url for peer, place in places.items() if place and not place.told}
        if own is not None and own in members and self._advertised is not None:
            urls[own] = self._advertised
        return urls

    def _place(self, peer: str, host: str | None) -> SidecarPlace | None:
        known = self._configured.get(peer) or self._from_template(host)
        url = known or next(iter(self._told.get(peer, ())), None)
        return None if url is None else SidecarPlace(url, on_host=_is_on(url, host), told=known is None)

    def _from_template(self, host: str | None) -> str | None:
        if self._template is None or host is None:
            return None
        url = self._template.replace("{host}", f"[{host}]" if ":" in host else host)
        try:
            return parse_sidecar_url(url)
        except ConfigError:
            return None  # an IPv6 address with a zone has no place in a URL


def _host(address: str) -> str | None:
    try:
        return parse_address(address)[0]
    except ConfigError:
        return None


def _is_on(url: str, host: str | None) -> bool:
    return host is not None and same_host_key(host_of_url(url)) == same_host_key(host)

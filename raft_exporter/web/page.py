"""The status page: the cluster at a glance, plain HTML that reloads itself."""

from __future__ import annotations

from html import escape
from typing import Final

from raft_exporter.view import ClusterView, MemberView
from raft_exporter.wording import duration, index, leadership, margin, office

_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>raft-exporter</title>
<style>
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8886}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.online{color:light-dark(#065,#5d9)}.suspect,.unknown,.asymmetric{color:light-dark(#850,#fc6)}
.stalled,.offline{color:light-dark(#a00,#f88);font-weight:600}
</style></head><body>
"""


_ISOLATED: Final = " <strong>Isolated: this node reaches no majority, so it blames nobody.</strong>"


def page(view: ClusterView) -> str:
    """Write the page of one view."""
    node = view.node
    online, may_fail = margin(view.quorum)
    rows = "".join(_row(member) for member in view.members)
    return (
        f"{_HEAD}<h1>{escape(node.id or 'unknown node')}</h1>"
        f"<p>{escape(office(node))} in term {index(node.term)}, "
        f"{escape(leadership(node))}. "
        f"{online}: <strong>{may_fail}</strong>.{_ISOLATED if node.isolated else ''}</p>"
        "<table><thead><tr><th>member</th><th>state</th><th>reason</th><th>for</th><th>role</th>"
        "<th>address</th><th>silent</th><th>main loop silent</th><th>term</th><th>last log index</th></tr>"
        "</thead>"
        f"<tbody>{rows}</tbody></table>"
        '<p><a href="/metrics">metrics</a> · <a href="/api/v1/cluster">JSON</a></p>'
        f"<footer>raft-exporter {escape(view.version)}</footer></body></html>\n"
    )


def _row(member: MemberView) -> str:
    silence = member.silence_seconds
    numbers = (
        duration(silence.any),
        duration(silence.raft),
        index(member.term),
        index(member.last_log_index),
    )
    override = member.override
    by = (
        f"; override by {override.author}: {override.reason}; judged {member.judged_state}"
        if override
        else ""
    )
    reason = f"{member.reason}{', flapping' if member.flapping else ''}{by}"
    return (
        f"<tr><td>{escape(member.id)}{' (own node)' if member.own else ''}</td>"
        f'<td class="{escape(member.state)}">{escape(member.state)}</td><td>{escape(reason)}</td>'
        f'<td class="n">{duration(member.since_seconds)}</td><td>{escape(member.role)}</td>'
        f"<td>{escape(member.address)}</td>"
        + "".join(f'<td class="n">{number}</td>' for number in numbers)
        + "</tr>"
    )

"""What the systems answer, as facts/products.md has it, for one cluster of three."""

from __future__ import annotations

from typing import Any

from raft_exporter.model.evidence import Server, Suffrage

ALICE, BOB, CAROL = (f"{letter * 8}-1111-2222-3333-444444444444" for letter in "abc")


def stats(port: int) -> dict[str, str]:
    """``raft.Stats()`` of a follower (facts/raft.md, 3), the third server without a vote."""
    servers = [
        f"{{Suffrage:{suffrage} ID:{server_id} Address:10.1.10.1{digit}:{port}}}"
        for digit, (server_id, suffrage) in enumerate([(ALICE, "Voter"), (BOB, "Voter"), (CAROL, "Nonvoter")])
    ]
    return {
        "applied_index": "8",
        "commit_index": "9",
        "fsm_pending": "1",
        "last_contact": "46.584898ms",
        "last_log_index": "10",
        "last_log_term": "2",
        "last_snapshot_index": "5",
        "last_snapshot_term": "2",
        "latest_configuration": f"[{' '.join(servers)}]",
        "latest_configuration_index": "0",
        "num_peers": "1",
        "protocol_version": "3",
        "protocol_version_max": "3",
        "protocol_version_min": "0",
        "snapshot_version_max": "1",
        "snapshot_version_min": "0",
        "state": "Follower",
        "term": "3",
    }


def servers(port: int) -> tuple[Server, ...]:
    return (
        Server(ALICE, f"10.1.10.10:{port}"),
        Server(BOB, f"10.1.10.11:{port}"),
        Server(CAROL, f"10.1.10.12:{port}", Suffrage.NONVOTER),
    )


def addresses(port: int) -> list[str]:
    return [f"10.1.10.1{digit}:{port}" for digit in range(3)]


def consul_self() -> dict[str, Any]:
    return {
        "Config": {
            "Datacenter": "dc1",
            "NodeName": "alice",
            "NodeID": ALICE,
            "Revision": "8e3d0e2a",
            "Server": True,
            "Version": "1.21.0",
        },
        "DebugConfig": {"ACLsEnabled": True, "RaftProtocol": 3, "Telemetry": {"Disable": False}},
        "Member": {
            "Name": "alice",
            "Addr": "10.1.10.10",
            "Port": 8301,
            "Tags": {"role": "consul", "id": ALICE, "raft_vsn": "3"},
            "Status": 1,
        },
        "Stats": {
            "consul": {
                "acl": "enabled",
                "bootstrap": "false",
                "known_datacenters": "1",
                "leader": "false",
                "leader_addr": "10.1.10.11:8300",
                "server": "true",
            },
            "raft": stats(8300),
            "serf_lan": {"members": "3", "failed": "0"},
        },
        "Meta": None,
    }


def nomad_self() -> dict[str, Any]:
    return {
        "config": {"Region": "global", "Datacenter": "dc1", "Server": {"Enabled": True}},
        "member": {
            "Name": "alice.global",
            "Addr": "10.1.10.10",
            "Port": 4648,
            "Tags": {"id": ALICE, "raft_vsn": "3", "role": "nomad"},
            "Status": "alive",
        },
        "stats": {
            "nomad": {
                "bootstrap": "false",
                "known_regions": "1",
                "leader": "false",
                "leader_addr": "10.1.10.11:4647",
                "server": "true",
            },
            "raft": stats(4647) | {"logstore_backend": "boltdb"},
            "serf": {"members": "3", "failed": "0"},
        },
    }


def configuration(port: int) -> dict[str, Any]:
    """What the operator's endpoint of Consul and Nomad answers; the third is dead: no serf member is it."""
    names = ("alice", "bob", "(unknown)")
    return {
        "Servers": [
            {
                "ID": server.id,
                "Node": name,
                "Address": server.address,
                "Leader": server.id == BOB,
                "ProtocolVersion": "unknown" if name == "(unknown)" else "3",
                "Voter": server.suffrage is Suffrage.VOTER,
                "LastIndex": 10,
            }
            for name, server in zip(names, servers(port), strict=True)
        ],
        "Index": 0,
    }


def rqlite_status() -> dict[str, Any]:
    numbers: dict[str, Any] = {
        key: int(value) if value.isdigit() else value for key, value in stats(4002).items()
    }
    return {
        "http": {"bind_addr": "127.0.0.1:4001", "auth": "disabled"},
        "mux": {"addr": "127.0.0.1:4002"},
        "runtime": {"GOOS": "linux", "version": "go1.25"},
        "store": {
            "open": True,
            "node_id": "1",
            "addr": "10.1.10.10:4002",
            "ready": True,
            "leader": {"node_id": "2", "addr": "10.1.10.11:4002"},
            "raft": numbers
            | {
                "voter": True,
                "log_size": 32768,
                "bolt": {"FreePageN": 3},
                "transport": {"raft_transport": True},
                "config": {
                    "LocalID": "1",
                    "HeartbeatTimeout": 1_500_000_000,
                    "ElectionTimeout": 1_500_000_000,
                    "LeaderLeaseTimeout": 500_000_000,
                },
            },
            "fsm_index": 10,
            "fsm_term": 3,
            "db_applied_index": 8,
            "nodes": [
                {"id": "1", "addr": "10.1.10.10:4002", "suffrage": "Voter"},
                {"id": "2", "addr": "10.1.10.11:4002", "suffrage": "Voter"},
                {"id": "3", "addr": "10.1.10.12:4002", "suffrage": "Nonvoter"},
            ],
            "observer": {"observed": 3, "dropped": 0},
            "heartbeat_timeout": "1.5s",
            "election_timeout": "1.5s",
        },
    }

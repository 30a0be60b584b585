"""The image, built by its Dockerfile and run as docs/deploy.md says: no root, nothing written to its own."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from raft_exporter import __version__
from raft_exporter.demo.cluster import until
from tests.conftest import Need
from tests.image.engine import IMAGE, Engine, base_of


@pytest.fixture(scope="module")
def engine(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    podman = need("podman", lambda: shutil.which("podman"))
    need("runc", lambda: shutil.which("runc"))
    mmdebstrap = need("mmdebstrap", lambda: shutil.which("mmdebstrap"))
    engine = Engine(podman, tmp_path_factory.mktemp("podman"))
    try:
        engine.build(base_of(mmdebstrap))
        yield engine
    finally:
        engine.close()


def test_it_says_what_it_is_and_how_it_is_run(engine: Engine) -> None:
    (image,) = json.loads(engine("image", "inspect", IMAGE).stdout)
    config = image["Config"]
    assert (config["User"], config["StopSignal"]) == ("65532:65532", "SIGTERM")
    assert (config["Entrypoint"], config["Cmd"]) == (["raft-exporter"], ["run"])
    assert image["Healthcheck"]["Test"] == ["CMD", "raft-exporter", "healthcheck"]
    assert image["Labels"]["org.opencontainers.image.version"] == __version__
    assert engine.run("--version").stdout == f"raft-exporter, version {__version__}\n"


def shell(engine: Engine, script: str) -> str:
    return engine.run("-c", script, options=("--rm", "--entrypoint=sh")).stdout


def test_it_is_not_root_and_nothing_in_it_becomes_root(engine: Engine) -> None:
    assert (
        shell(engine, "id -u; id -g; find / -xdev -type f -perm /6000 2>/dev/null; true") == "65532\n65532\n"
    )


def test_it_writes_to_its_two_directories_alone(engine: Engine) -> None:
    places = "/ /etc /tmp /opt/raft-exporter /run/raft-exporter /var/lib/raft-exporter"
    told = shell(engine, f"for place in {places}; do touch $place/x 2>/dev/null && echo $place; done; true")
    assert told.split() == ["/run/raft-exporter", "/var/lib/raft-exporter"]


def test_there_is_no_compiler_and_no_pip_in_it(engine: Engine) -> None:
    commands = "cc c++ gcc g++ clang ld as make go pip pip3 hatchling"
    assert shell(engine, f"for name in {commands}; do command -v $name; done; true") == ""
    modules = "('pip', 'ensurepip', 'hatchling', 'pytest')"
    code = f"from importlib.util import find_spec; print([name for name in {modules} if find_spec(name)])"
    assert shell(engine, f'python3 -c "{code}"') == "[]\n"
    assert shell(engine, "ls /src /build /dist 2>/dev/null; true") == ""


@pytest.mark.parametrize("command", ["run", "healthcheck"])
def test_nothing_is_compiled_at_its_start(command: str, engine: Engine) -> None:
    options = ("--rm", "--entrypoint=python3")
    told = engine.run("-v", "-m", "raft_exporter", command, "--help", options=options).stderr
    loaded = re.findall(r"^# code object from '?(.*?)'?$", told, re.MULTILINE)
    assert loaded
    assert [path for path in loaded if path.endswith(".py")] == []


def test_it_serves_is_healthy_ends_when_told_and_starts_again(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = "http://{}:{}".format(*free.getsockname())
    store = Path("/var/lib/raft-exporter/raft-exporter.db")
    options = ("--detach", "--name=sidecar", f"--env=RAFT_EXPORTER_HEALTHCHECK_URL={url}")
    engine.run("run", "--listen", url.removeprefix("http://"), "--store", str(store), options=options)
    for life in range(2):
        if life:
            engine("start", "sidecar")
        until("it is healthy", lambda: not engine("healthcheck", "run", "sidecar", check=False).returncode)
        assert requests.get(f"{url}/", timeout=10).headers["Content-Type"].startswith("text/html")
        engine("exec", "sidecar", "test", "-S", "/run/raft-exporter/observer.sock")
        engine("stop", "--time=10", "sidecar")
        assert engine("inspect", "--format={{.State.ExitCode}}", "sidecar").stdout == "0\n"
    assert shell(engine, f"ls {store}").split() == [str(store)]
    told = engine.run("healthcheck", "--url", url, options=("--rm",), check=False)
    refused = f"raft-exporter: {url}/-/healthy: Connection refused\n"
    assert (told.returncode, told.stderr.endswith(refused)) == (1, True)

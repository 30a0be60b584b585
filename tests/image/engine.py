"""Podman with a storage of its own, and a base for the image that is made here: nothing is pulled.

The base is Debian's smallest system with its python3, in place of the python image that the Dockerfile names:
another Python, in another place, its library compiled. Packages come through this machine's apt and pip.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = "localhost/raft-exporter:test"

_BASE: Final = "localhost/base:here"
_LOCKS: Final = ("requirements.lock", "requirements-build.lock")
# As docs/deploy.md says to run it.
_CONFINED: Final = (
    "--read-only",
    "--read-only-tmpfs=false",  # as Docker: podman would lay a /run and a /tmp over it
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
# The health check is run by the test: podman's own timer is one of systemd.
_HERE: Final = (
    "--network=host",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--health-interval=disable",
)
_WRITABLE: Final = ("--tmpfs=/run/raft-exporter", "--volume=store:/var/lib/raft-exporter")


class Engine:
    """One podman; ``home`` is a directory that it may fill."""

    def __init__(self, podman: str, home: Path) -> None:
        self._home = home
        places = ("--root", str(home / "root"), "--runroot", str(home / "run"))
        system = ("--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=runc")
        self._podman = (podman, *places, *system)

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of podman's commands."""
        done = subprocess.run(
            [*self._podman, *arguments], capture_output=True, text=True, check=False, timeout=500
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def build(self, base: Path) -> None:
        """Build the image on a base; packages are fetched here, their hashes checked by the Dockerfile."""
        settings = ("--change=ENV PIP_NO_INDEX=1", "--change=ENV PIP_FIND_LINKS=/wheels")
        self("import", "--quiet", *settings, str(base), _BASE)
        told = self("run", "--rm", *_HERE, _BASE, "python3", "-c", "import sys; print(*sys.version_info[:2])")
        wheels = self._home / "wheels"
        for lock in _LOCKS:
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(wheels)]
            download += ["--python-version", ".".join(told.stdout.split()), "--only-binary", ":all:"]
            download += ["--no-deps", "--require-hashes", "--requirement", str(ROOT / lock)]
            subprocess.run(download, check=True, timeout=300)
        how = ("--format=docker", "--isolation=chroot", "--pull=never", f"--volume={wheels}:/wheels:ro")
        self("build", *how, f"--build-arg=BASE={_BASE}", f"--tag={IMAGE}", str(ROOT))

    def run(
        self, *command: str, options: Sequence[str] = (), check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the image with a command."""
        return self("run", *_CONFINED, *_HERE, *_WRITABLE, *options, IMAGE, *command, check=check)

    def close(self) -> None:
        """Remove all containers and images."""
        self("rm", "--all", "--force", "--time=0")
        self("rmi", "--all", "--force")
        self("volume", "rm", "--all", "--force")
        shutil.rmtree(self._home)


def base_of(mmdebstrap: str) -> Path:
    """Give Debian's smallest system with python3 as an archive; it is made once, and kept in build/."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    base = ROOT / "build" / f"base-{codename}.tar"
    if not base.exists():
        base.parent.mkdir(exist_ok=True)
        half = base.with_suffix(".half.tar")
        packages = ("--variant=essential", "--include=python3,python3-venv")
        subprocess.run([mmdebstrap, "--quiet", *packages, codename, str(half)], check=True, timeout=500)
        half.rename(base)
    return base

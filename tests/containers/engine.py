"""buildah and podman with a store and a configuration of their own, so that nothing of the machine's is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")
BUILD_SECONDS = 1800
RUN_SECONDS = 900

_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
volume_path = "{home}/volumes"
[network]
network_backend = "netavark"
network_config_dir = "{home}/networks"
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{home}/images"
runroot = "{home}/run"
"""
# As strict as it gets: no right of root's, nothing to write but the volume and /tmp.
STRICT = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


@dataclass(frozen=True)
class Engine:
    """The container engine whose images and containers lie in `home`."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What points buildah, podman and podman-compose at this store."""
        return {
            **os.environ,
            "CONTAINERS_CONF": str(self.home / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.home / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def prepare(self) -> None:
        """Write the configuration."""
        (self.home / "containers.conf").write_text(_CONFIGURATION.format(home=self.home))
        (self.home / "storage.conf").write_text(_STORAGE.format(home=self.home))

    def build(self, folder: Path, tag: str, *options: str) -> None:
        """Build an image."""
        done = self.command("buildah", "bud", "--network", "host", "--tag", tag, *options, str(folder))
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    def build_debian(self, suite: str, tag: str) -> None:
        """Build a Debian from its packages, for there may be no registry of images."""
        folder = self.home / suite
        shutil.copytree(Path(__file__).with_name("base"), folder)
        authorities = Path("/usr/local/share/ca-certificates")
        shutil.copytree(authorities, folder / "ca") if authorities.is_dir() else (folder / "ca").mkdir()
        tar = str(folder / "base.tar")
        done = self.command("mmdebstrap", "--variant=minbase", "--include=ca-certificates", suite, tar)
        assert done.returncode == 0, done.stderr[-4000:]
        self.build(folder, tag)

    def run(self, image: str, *arguments: str, options: tuple[str, ...] = STRICT) -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        return self.command("podman", "run", "--rm", *options, image, *arguments, timeout=RUN_SECONDS)

    def command(self, *command: str, timeout: int = BUILD_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a program of the engine."""
        return subprocess.run(
            command, env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=timeout, check=False
        )

    def remove(self) -> None:
        """Remove every container, image and file."""
        self.command("podman", "rm", "--all", "--force", "--time", "0")
        self.command("podman", "volume", "prune", "--force")
        self.command("podman", "network", "prune", "--force")
        self.command("buildah", "rmi", "--all", "--force")
        shutil.rmtree(self.home, ignore_errors=True)

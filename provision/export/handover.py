"""What is handed over: an image, the store, the suite, and how containers of it are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from provision.machines.engine import ContainerSettings, Mount
from provision.surroundings import MOUNT

SUITE = "/suite"  # where they see this program: the image holds none of it
WORK = "/work"
HUB_PORT = 8090
CHECK_HOME = "/tmp/provision"
PACKAGES = ("provision", "checks", "images")


@dataclass(frozen=True)
class Handover:
    """`store`, `suite` and `work` are folders of the machine that will run it, or `${VARIABLES}` of the target.

    `cdi` are the names of its GPUs where its engine knows them by CDI alone.
    `variables` are the surroundings of a container; `passed` are those that whoever starts it passes on by name.
    """

    image: str
    profile: str
    store: str
    suite: str
    work: str
    gpus: bool = False
    cdi: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()

    def environment(self) -> ContainerSettings:
        """How `provision run` runs the image: with a network, the store read-only, the work folder writable."""
        mounts = (Mount(self.store, MOUNT), Mount(self.work, WORK, writable=True))
        return replace(self._settings(*mounts), network="bridge")

    def checks(self) -> ContainerSettings:
        """How `provision up` runs its checks: cut off, nothing writable but /tmp; and the suite itself beside the store."""
        suite = [Mount(f"{self.suite}/{name}", f"{SUITE}/{name}") for name in PACKAGES]
        own = {"PYTHONPATH": SUITE, "PROVISION_HOME": CHECK_HOME, "PROVISION_STORE": MOUNT}
        settings = self._settings(Mount(self.store, MOUNT), *suite)
        return replace(settings, environment={**settings.environment, **own})

    def hub(self) -> ContainerSettings:
        """How the store is served to the network: as the checks, with a network and without GPUs."""
        return replace(self.checks(), network="bridge", gpus=False)

    def check_command(self) -> list[str]:
        """What the check suite is, from inside."""
        words = ["python", "-m", "provision", "check", f"--profile={self.profile}", "--engine=local"]
        return [*words, "--python=/opt/venv/bin/python", f"--gpu={'required' if self.gpus else 'none'}"]

    def hub_command(self) -> list[str]:
        """What serves the store, from inside."""
        words = ["python", "-m", "provision", "models", "serve", f"--dir={MOUNT}"]
        return [*words, "--host=0.0.0.0", f"--port={HUB_PORT}"]

    def _settings(self, *mounts: Mount) -> ContainerSettings:
        return ContainerSettings(self.image, mounts, self.variables, gpus=self.gpus, cdi=self.cdi, passed=self.passed)

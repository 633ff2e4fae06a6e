"""For Kubernetes: a Pod to work in and a Job that proves it (https://kubernetes.io/docs/reference/kubernetes-api/)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from provision.export.handover import Handover
from provision.machines.engine import ContainerSettings

HEAD = "# The image must be where the nodes can pull it; the store and the suite are folders of the node.\n"
SECRET = "provision"  # the Secret that holds the variables with credentials
SECRET_HEAD = '# eval "$(provision export env)" && kubectl create secret generic {secret} {words}\n'


def kubernetes(handover: Handover) -> str:
    """Return the manifests; GPUs by the device plugin's `nvidia.com/gpu`, /dev/shm by a memory volume."""
    checks, environment = handover.checks(), replace(handover.environment(), network="bridge")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "provision-checks"},
        "spec": {"backoffLimit": 0, "template": {"spec": _pod(checks, "checks", handover.check_command())}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "provision-environment"},
        "spec": _pod(environment, "environment", ["sleep", "infinity"]),
    }
    words = " ".join(f'--from-literal={name}="${name}"' for name in handover.passed)
    head = HEAD + (SECRET_HEAD.format(secret=SECRET, words=words) if words else "")
    return head + yaml.safe_dump_all([job, pod], sort_keys=False, width=1000)


def _pod(settings: ContainerSettings, name: str, command: list[str]) -> dict[str, Any]:
    given = settings.arguments()
    user, group = map(int, given["user"].split(":"))
    mounts = [
        {"name": f"folder-{place}", "mountPath": to["bind"], "readOnly": to["mode"] == "ro"}
        for place, to in enumerate(given["volumes"].values())
    ]
    volumes: list[dict[str, Any]] = [
        {"name": f"folder-{place}", "hostPath": {"path": source}} for place, source in enumerate(given["volumes"])
    ]
    memory = {"medium": "Memory", "sizeLimit": given["shm_size"].replace("g", "Gi")}
    container = {
        "name": name,
        "image": given["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [
            *({"name": key, "value": value} for key, value in given["environment"].items()),
            *({"name": key, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": key}}} for key in settings.passed),
        ],
        "securityContext": {
            "runAsUser": user,
            "runAsGroup": group,
            "readOnlyRootFilesystem": given["read_only"],
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": given["cap_drop"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}, *mounts],
        **({"resources": {"limits": {"nvidia.com/gpu": 1}}} if settings.gpus else {}),
    }
    own = [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": memory}]
    return {"restartPolicy": "Never", "containers": [container], "volumes": [*own, *volumes]}

"""For editors: https://containers.dev/implementors/json_reference/."""

from __future__ import annotations

import json

from provision.export.handover import Handover
from provision.machines.terminal import gpus


def devcontainer(handover: Handover) -> str:
    """Return a devcontainer.json of the same image. Its root is writable: the editor installs its own server inside.

    What is passed on comes from the editor's environment: eval "$(provision export env)" before it is started.
    """
    settings = handover.environment()
    given = settings.arguments()
    store, to = next(iter(given["volumes"].items()))
    arguments = [f"--shm-size={given['shm_size']}", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    document = {
        "name": f"provision {handover.profile}",
        "image": handover.image,
        "remoteUser": "provision",
        "updateRemoteUserUID": True,
        "overrideCommand": True,
        "init": True,
        "runArgs": [*arguments, *([f"--gpus={gpus(settings.cdi)}"] if handover.gpus else [])],
        "hostRequirements": {"gpu": handover.gpus or "optional"},
        "containerEnv": {**given["environment"], **{name: f"${{localEnv:{name}}}" for name in settings.passed}},
        "mounts": [f"type=bind,source={store},target={to['bind']},readonly"],
        "customizations": {
            "vscode": {
                "extensions": ["ms-python.python"],
                "settings": {"python.defaultInterpreterPath": "/opt/venv/bin/python"},
            }
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

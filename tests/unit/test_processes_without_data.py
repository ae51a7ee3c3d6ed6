"""Processes that stand for themselves and are started on a folder that is no data folder say so, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.apps.cli.processes import run_controller, run_node_alone, run_twin
from qanat.ground.errors import ConfigurationError


@pytest.mark.parametrize("kind", ["controller", "standby", "twin", "node"])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_without_certificates_is_refused_and_left_as_it_was(
    tmp_path: Path, kind: str, *, is_there: bool
) -> None:
    deployment, data = tmp_path / "deployment.yaml", tmp_path / "data"
    deployment.write_text(
        "format: qanat-deployment/1\nnetwork: three-nodes\nsite: suzhou\n"
        "standby: {host: 127.0.0.1, port: 40000}\ncontroller: {host: 127.0.0.1, port: 40001}\n",
        encoding="utf-8",
    )
    if is_there:
        data.mkdir()
    before = sorted(tmp_path.rglob("*"))
    runs = {
        "twin": lambda: run_twin("three-nodes", link="kunshan-shanghai", config=None, data=data, as_json=False),
        "node": lambda: run_node_alone(deployment, site=None, data=data, port=0, as_json=False),
        "controller": lambda: run_controller(None, config=deployment, data=data, standby=False, as_json=False),
        "standby": lambda: run_controller(None, config=deployment, data=data, standby=True, as_json=False),
    }
    with pytest.raises(ConfigurationError, match=r"ca\.pem is not there") as fault:
        runs[kind]()
    assert "name the folder that has them" in fault.value.remedy
    assert sorted(tmp_path.rglob("*")) == before

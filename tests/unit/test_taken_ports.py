"""What `qanat up` says where another program has one of its ports."""

from __future__ import annotations

import socket
from pathlib import Path

from typer.testing import CliRunner

from qanat.apps.cli.main import app


def test_a_network_whose_ports_another_one_has_is_told_how_to_take_others(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["up", "three-nodes", "--data", str(tmp_path / "data"), "--port", str(port - 1)]
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
    assert "`--port NUMBER`" in result.output
    assert not (tmp_path / "data").exists()

"""Certificates that name the hosts of doors: made with a deployment file, kept by a renewal, and what curl is told."""

from __future__ import annotations

import shlex
import ssl
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from qanat.adapters.authority import Authority, hosts_of, names_host
from qanat.adapters.pki import NodeFiles, SaeFiles
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles, own_identity
from qanat.apps.cli.main import app
from qanat.apps.cli.presentation import RunView, show_curl
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId

SUZHOU, KUNSHAN, SHANGHAI = map(NodeId, ("suzhou", "kunshan", "shanghai"))
OWN = ("localhost", "127.0.0.1")
URL = "https://10.77.0.11:8801/api/v1/keys/bob/enc_keys"


def deployment(folder: Path, *, suzhou: str = "10.77.0.11") -> Path:
    path = folder / "deployment.yaml"
    path.write_text(
        f"""format: qanat-deployment/1
network: three-nodes
sites:
  suzhou: {{host: "{suzhou}", port: 9001, door_port: 8801}}
  shanghai: {{host: keys.shanghai.example, port: 9001, door_port: 8801}}
""",
        encoding="utf-8",
    )
    return path


def pki(*words: object) -> Result:
    return CliRunner().invoke(app, ["pki", *map(str, words)])


def hosts(folder: Path, node: NodeId) -> tuple[str, ...]:
    return hosts_of(NodeFiles.of(folder, node).certificate)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hosts")
    done = pki("--config", deployment(folder), "--out", folder / "pki")
    assert done.exit_code == 0, done.output
    return folder / "pki"


def told_curl(capsys: pytest.CaptureFixture[str], *, door: Path) -> list[str]:
    """Return the words of the command that is printed for a door at another host."""
    files = TlsFiles(Path("alice.pem"), Path("alice.key"), Path("ca.pem"))
    show_curl(RunView(), "alice", "bob", files=files, url=URL, door=door)
    return shlex.split(capsys.readouterr().err.partition("curl")[2])


def test_each_site_is_named_with_the_host_of_its_door(made: Path) -> None:
    assert set(hosts(made, SUZHOU)) == {*OWN, "10.77.0.11"}
    assert set(hosts(made, SHANGHAI)) == {*OWN, "keys.shanghai.example"}
    assert hosts(made, KUNSHAN) == OWN
    assert hosts_of(SaeFiles.of(made, "alice").certificate) == ()
    assert own_identity(NodeFiles.of(made, SUZHOU).certificate) == "urn:qanat:three-nodes:kme:suzhou"


@pytest.mark.parametrize("host", ["10.77.0.11", "127.0.0.1", "10.77.0.12"])
def test_openssl_takes_the_host_that_is_named_and_no_other(made: Path, host: str) -> None:
    files = NodeFiles.of(made, SUZHOU)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(files.ca)).wrap_bio(to_client, to_server, server_hostname=host)
    ends = [client, server.wrap_bio(to_server, to_client, server_side=True)]

    def shake_hands() -> None:
        for end in ends * 3:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue

    if host == "10.77.0.12":
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            shake_hands()
    else:
        shake_hands()
        assert client.getpeercert()


def test_a_renewal_keeps_the_hosts_or_takes_those_of_the_deployment(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    assert pki("--config", deployment(tmp_path), "--out", folder).exit_code == 0
    before = NodeFiles.of(folder, SUZHOU).certificate.read_bytes()
    assert pki("renew", "suzhou", "alice", "--out", folder).exit_code == 0
    assert NodeFiles.of(folder, SUZHOU).certificate.read_bytes() != before
    assert set(hosts(folder, SUZHOU)) == {*OWN, "10.77.0.11"}
    moved = deployment(tmp_path, suzhou="2001:DB8::11")
    assert pki("renew", "suzhou", "kunshan", "--out", folder, "--config", moved).exit_code == 0
    assert set(hosts(folder, SUZHOU)) == {*OWN, "2001:db8::11"}
    assert hosts(folder, KUNSHAN) == OWN
    assert names_host(NodeFiles.of(folder, SUZHOU).certificate, "2001:0db8:0::11")


def test_certificates_that_were_made_without_hosts_are_told_with_the_command_that_helps(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    assert pki("three-nodes", "--out", folder).exit_code == 0
    config = deployment(tmp_path)
    again = pki("--config", config, "--out", folder)
    assert again.exit_code == 0
    command = f"qanat pki renew suzhou shanghai --out {folder} --config {config}"
    assert f"without the hosts of their doors: suzhou, shanghai; `{command}`" in again.stderr
    assert hosts(folder, SUZHOU) == OWN, "what is there is not touched"
    assert pki(*shlex.split(command)[2:]).exit_code == 0
    assert "without the hosts" not in pki("--config", config, "--out", folder).stderr
    assert set(hosts(folder, SUZHOU)) == {*OWN, "10.77.0.11"}


def test_a_host_that_no_certificate_can_name_is_refused() -> None:
    authority = Authority.create("net", SystemEntropy(), SystemClock())
    for host in ("söder", "*.example", "a b", "a..b", "x" * 64):
        with pytest.raises(ConfigurationError, match="no name that a certificate can have"):
            authority.issue("urn:qanat:net:kme:a", is_node=True, hosts=[host])


def test_the_printed_curl_line_calls_a_door_by_a_name_that_its_certificate_has(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = told_curl(capsys, door=NodeFiles.of(made, SUZHOU).certificate)
    assert named[-1] == URL
    assert "--connect-to" not in named
    nameless = told_curl(capsys, door=NodeFiles.of(made, KUNSHAN).certificate)
    assert nameless[-3:] == ["--connect-to", "localhost:8801:10.77.0.11:8801", URL.replace("10.77.0.11", "localhost")]

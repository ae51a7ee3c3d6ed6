"""A network of real processes whose site has its master key in a token: killed, started without it, zeroized."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interop.canary import scan_files
from interop.fleet import Fleet, run_qanat
from interop.live import running_network
from qanat.ground.keys import SecretKey
from token_support import PIN, SoftToken, soft_token

pytestmark = pytest.mark.slow

SITES = ("suzhou", "kunshan", "shanghai")
LINKS = ("suzhou-kunshan", "kunshan-shanghai")


def qanat(*arguments: str) -> str:
    """Run a command that must succeed; return what it says."""
    done = run_qanat(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def refused(*arguments: str) -> str:
    """Run a command that must be refused; return what it says."""
    done = run_qanat(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "what to do" in done.stderr
    return done.stderr


def get_keys(fleet: Fleet) -> list[SecretKey]:
    with fleet.client("suzhou", "alice", patience_s=50) as alice:
        return list(alice.get_keys(fleet.sae("shanghai", "bob"), count=8, size_bits=256))


def check_mates(fleet: Fleet, keys: list[SecretKey]) -> list[bytes]:
    """Fetch the same keys at the other end; return their bytes."""
    with fleet.client("shanghai", "bob") as bob:
        mates = bob.get_keys_by_id(fleet.sae("suzhou", "alice"), [key.key_id for key in keys])
    taken = [key.take() for key in keys]
    assert [mate.take() for mate in mates] == taken
    return taken


@pytest.mark.campaign
def test_a_node_is_killed_and_started_with_its_token_and_refuses_without(tmp_path: Path) -> None:
    """Both ends, in two processes, have one token; the file that each had before is gone after the move."""
    config, data = tmp_path / "deployment.yaml", tmp_path / "data"
    config.write_text("format: qanat-deployment/1\nnetwork: three-nodes\ndata: data\n", encoding="utf-8")
    qanat("pki", "three-nodes", "--out", str(data / "pki"))
    with soft_token(tmp_path / "hsm") as token:
        qanat("node", "master-key", "make", token.uri())
        qanat("node", "master-key", "move", token.uri(), "--config", str(config), "suzhou", "shanghai")
        with Fleet(tmp_path) as fleet:
            fleet.add("controller", "controller", "--config", str(config), "--json")
            for link in LINKS:
                fleet.add(link, "twin", "--config", str(config), "--link", link, "--json")
            for site in SITES:
                fleet.add(site, "node", "--config", str(config), "--site", site, "--json")
            fleet.wait()
            waiting = get_keys(fleet)
            fleet.kill("shanghai")
            check_starts_are_refused(token, "node", "--config", str(config), "--site", "shanghai")
            fleet.restart("shanghai")
            secrets = check_mates(fleet, waiting)
            fleet.kill("suzhou")
            fleet.restart("suzhou")
            secrets += check_mates(fleet, get_keys(fleet))
            leaks = scan_files([data, *tmp_path.glob("*.log")], [*secrets, PIN.encode()])
            assert leaks == []
        told = json.loads(run_qanat("doctor", "--config", str(config), "--site", "suzhou", "--json").stdout)
        (store,) = [one for one in told["deployment"] if one["subject"] == "store of site suzhou"]
        assert (store["state"], "key 'master' of token 'site'" in store["found"]) == ("well", True)


def check_starts_are_refused(token: SoftToken, *start: str) -> None:
    """Start a site with a wrong PIN, and without its token."""
    token.set_pin("wrong-pin")
    said = refused(*start)
    assert "does not take this PIN" in said
    assert "wrong-pin" not in said
    token.set_pin(PIN)
    away = token.tokens.with_name("away")
    token.tokens.rename(away)
    token.tokens.mkdir()
    assert "there is no token 'site'" in refused(*start)
    token.tokens.rmdir()
    away.rename(token.tokens)


@pytest.mark.campaign
def test_a_running_network_moves_its_stores_into_a_token_and_zeroizes_them_with_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with soft_token(tmp_path / "hsm") as token:
        with running_network(data) as network:
            with network.client("alice") as alice:
                keys = alice.get_keys(network.sae("bob"), count=4, size_bits=256)
            move = ("node", "master-key", "move", token.uri(), "three-nodes", "shanghai", "--data", str(data))
            qanat("node", "master-key", "make", token.uri())
            assert "stop the process" in refused(*move)
        assert "PIN on the command line" in refused(
            *move[:3], f"{token.uri().split('?')[0]}?module-path=/m&pin-value=1"
        )
        (data / "shanghai" / "master.key").unlink(missing_ok=True)
        assert "names the key 'master' of token 'site'" in qanat(*move)
        assert (data / "shanghai" / "master.key").read_text(encoding="utf-8").startswith("pkcs11:token=site")
        assert "shanghai: 0 keys rewrapped" in qanat(*move), "a second call changes nothing"
        with running_network(data) as network, network.client("bob") as bob:
            mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
            assert [mate.take() for mate in mates] == [key.take() for key in keys]
        zeroize = ("node", "zeroize", "three-nodes", "shanghai", "--data", str(data), "--yes", "--token-key")
        assert "the key 'master' of token 'site' is gone" in qanat(*zeroize)
        assert "there is no key 'master'" in refused(*zeroize)
        assert "no master key of these sites is in a token" in refused(
            *(word.replace("shanghai", "suzhou") for word in zeroize)
        )
        assert "there is no key 'master'" in refused("up", "three-nodes", "--data", str(data), "--port", "0")

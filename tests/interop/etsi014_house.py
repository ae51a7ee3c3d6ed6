"""Three user sites around a trusted relay, as a running service, and callers that speak raw HTTP to its doors."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import uuid
import warnings
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from interop.certificates import Authority
from interop.etsi014_cases import UNKNOWN_ID, Case, Handshake, Step
from interop.live import LiveNetwork, running_network
from qanat.adapters.tls import TlsFiles

SITES = {"alice": "a", "anna": "a", "bob": "b", "carol": "c"}
PATIENCE_S = 60.0
"""So long a call is repeated that is answered by 503: links make key meanwhile."""

NETWORK = """
format: qanat-network/1
name: star
title: Three users around a relay
sites:
  - {name: r, kind: relay, title: relay, latitude_deg: 31.3, longitude_deg: 121.0}
  - {name: a, kind: user, title: user a, latitude_deg: 31.2, longitude_deg: 120.8}
  - {name: b, kind: user, title: user b, latitude_deg: 31.4, longitude_deg: 121.2}
  - {name: c, kind: user, title: user c, latitude_deg: 31.5, longitude_deg: 121.0}
links:
  - {name: a-r, transmitter: a, receiver: r, system: backbone-625, loss_db: 10.3, length_km: 41}
  - {name: b-r, transmitter: b, receiver: r, system: backbone-625, loss_db: 10.3, length_km: 41}
  - {name: c-r, transmitter: c, receiver: r, system: backbone-625, loss_db: 10.3, length_km: 41}
applications:
  - {name: alice, site: a}
  - {name: anna, site: a}
  - {name: bob, site: b}
  - {name: carol, site: c}
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class House:
    """The network with a connection for each caller, and the keys that were given last."""

    live: LiveNetwork
    stranger: TlsFiles
    last: list[tuple[str, str]] = field(default_factory=list)
    lines: dict[str, http.client.HTTPSConnection] = field(default_factory=dict)

    def check(self, case: Case) -> None:
        """Play a case; a failed assertion names its step."""
        self.last = []
        for place, step in enumerate(case.steps, start=1):
            where = f"{case.name}, step {place}: {step}"
            if isinstance(step, Handshake):
                assert self.connects(step) == step.accepted, where
            else:
                self._check_step(step, where)

    def close(self) -> None:
        for line in self.lines.values():
            line.close()

    # --- one step ---

    def _check_step(self, step: Step, where: str) -> None:
        answer = self.answered(step)
        assert answer.status == step.status, f"{where}: {answer.status} {answer.body[:200]!r}"
        assert answer.headers["content-type"] == "application/json", where
        told = answer.json()
        if step.status == 405:
            assert answer.headers["allow"], where
        if step.status != 200:
            assert isinstance(told["message"], str), where
            assert step.message in (None, told["message"]), f"{where}: {told}"
            return
        self._check_fields(step, told, where)
        if step.keys is not None or step.same:
            self._check_keys(step, told, where)

    def _check_fields(self, step: Step, told: dict[str, Any], where: str) -> None:
        for name, wanted in step.fields.items():
            if isinstance(wanted, type):
                assert type(told[name]) is wanted, f"{where}: {name}"
            else:
                assert told[name] == self._spelled(wanted), f"{where}: {name}"

    def _check_keys(self, step: Step, told: dict[str, Any], where: str) -> None:
        got = [(key["key_ID"], key["key"]) for key in told["keys"]]
        assert len({key_id for key_id, _ in got}) == len(got), where
        assert all(str(uuid.UUID(key_id)) == key_id for key_id, _ in got), where
        if step.keys is not None:
            assert [8 * len(b64decode(key, validate=True)) for _, key in got] == [step.keys[1]] * step.keys[0], where
        if step.same:
            assert got == self.last, where
        else:
            assert not {key_id for key_id, _ in got} & {key_id for key_id, _ in self.last}, where
            self.last = got

    # --- calls ---

    def answered(self, step: Step) -> Answer:
        """Return the answer to a call; one of 503 is asked again while links make key."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            answer = self._ask(step)
            if answer.status != 503 or step.status == 503 or time.monotonic() > end_s:
                return answer
            time.sleep(min(1.0, float(answer.headers.get("retry-after", "1"))))

    def _ask(self, step: Step) -> Answer:
        headers = {"content-type": "application/json"}
        for _ in range(2):
            line = self._line(step.by)
            with suppress(http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
                line.request(step.method, self._path(step), body=self._body(step), headers=headers)
                response = line.getresponse()
                told = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, told, response.read())
            self.lines.pop(step.by).close()  # the door had closed it after the last answer
        raise ConnectionError(f"no answer to {step}")

    def _line(self, by: str) -> http.client.HTTPSConnection:
        if by not in self.lines:
            who, _, site = by.partition("@")
            context = self._context(self.live.files(who))
            self.lines[by] = http.client.HTTPSConnection("127.0.0.1", self._port(site or SITES[who]), context=context)
        return self.lines[by]

    def _port(self, site: str) -> int:
        return int(urlsplit(self.live.record["doors"][site]["url"]).port or 0)

    def _path(self, step: Step) -> str:
        if step.call.startswith("/"):
            return step.call
        of = step.of
        if of.startswith("%"):
            of = "".join(f"%{byte:02X}" for byte in self.live.sae(of[1:]).encode())
        else:
            of = of[1:] if of.startswith("?") else self.live.sae(of)
        query = f"?{self._with_id(step.query)}" if step.query else ""
        return f"/api/v1/keys/{of}/{step.call}{query}"

    def _with_id(self, query: str) -> str:
        if "$" not in query:
            return query
        return query.replace("$ID", self.last[0][0].upper()).replace("$id", self.last[0][0])

    def _body(self, step: Step) -> bytes | None:
        body = step.body
        if isinstance(body, str) and body.startswith("$ids"):
            body = self._ids(body.removeprefix("$ids"))
        if body is None or isinstance(body, bytes):
            return body if body is not None or step.method != "POST" else b""
        return json.dumps(self._spelled(body)).encode()

    def _ids(self, more: str) -> dict[str, Any]:
        entries: list[dict[str, Any]] = [{"key_ID": key_id} for key_id, _ in self.last]
        match more:
            case "+unknown":
                entries.insert(1, {"key_ID": UNKNOWN_ID})
            case "+again":
                entries.append(entries[0])
            case "+extensions":
                entries = [{**entry, "key_ID_extension": {"x": 1}} for entry in entries]
                return {"key_IDs": entries, "key_IDs_extension": {"abc_y": [2]}}
            case "+nonce":
                return {"key_IDs": entries, "key_IDs_extension": {"qanat_nonce": "case-nonce-0003"}}
        return {"key_IDs": entries}

    def _spelled(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("$kme-"):
            return f"urn:qanat:star:kme:{value.removeprefix('$kme-')}"
        if isinstance(value, str) and value.startswith("$"):
            return self.live.sae(value[1:])
        if isinstance(value, list):
            return [self._spelled(part) for part in value]
        if isinstance(value, dict):
            return {name: self._spelled(part) for name, part in value.items()}
        return value

    # --- handshakes ---

    def connects(self, step: Handshake) -> bool:
        """Return whether a connection with these papers gets an answer, and the door's name on the line."""
        files = {"alice": self.live.files("alice"), "stranger": self.stranger}.get(step.who)
        context = self._context(files)
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # else this side alone would refuse the old version
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 1.1 is there to be refused
            versions = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
            context.minimum_version = context.maximum_version = versions[step.version]
        line = http.client.HTTPSConnection("127.0.0.1", self._port("a"), context=context, timeout=10)
        try:
            line.request("GET", f"/api/v1/keys/{self.live.sae('bob')}/status")
            names = line.sock.getpeercert()["subjectAltName"] if line.sock else ()
            return line.getresponse().status == 200 and ("URI", "urn:qanat:star:kme:a") in names
        except OSError:  # an alert, or an end
            return False
        finally:
            line.close()

    def _context(self, files: TlsFiles | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.live.files("alice").ca))
        if files is not None:
            context.load_cert_chain(files.certificate, files.key)
        return context


@contextmanager
def house_open(folder: Path) -> Iterator[House]:
    """Bring the network up in ``folder``, and take it down."""
    (folder / "star.yaml").write_text(NETWORK, encoding="utf-8")
    with running_network(folder / "data", str(folder / "star.yaml")) as live:
        stranger = Authority(folder / "other").issue("stranger", [live.sae("alice")])
        house = House(live, stranger)
        try:
            yield house
        finally:
            house.close()

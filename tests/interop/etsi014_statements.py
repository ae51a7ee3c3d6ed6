"""What ETSI GS QKD 014 V1.1.1 demands, statement by statement, in our own words. ``etsi014_cases`` checks them.

Clause numbers are those of V1.1.1 (2019-02), as far as they could be checked (``CLAUSES``); where the words differ, the
standard rules. ``binds`` says whom a statement binds: the door (a KME towards SAEs), the network behind it, or the SAE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Statement:
    """One demand. ``elsewhere`` names tests or pages where no case of ours can reach it."""

    name: str
    clause: str
    words: str
    binds: Literal["door", "network", "SAE"] = "door"
    elsewhere: str = ""


@dataclass(frozen=True)
class Clause:
    """A clause that statements name, and who else says that it has this number; nobody: it is not checked."""

    number: str
    subject: str
    sources: tuple[str, ...] = ()


JENA_CALLS, JENA_OBJECTS, JEPSEN, KRICH, THESIS = "a", "b", "c", "d", "e"
SOURCES = {
    JENA_CALLS: "QOJena/etsi014_rs, `src/client.rs` (commit 398cef1)",
    JENA_OBJECTS: "QOJena/etsi014_rs, `src/models.rs` (commit 70c3f29)",
    JEPSEN: "John-Jepsen/qkdsec, `docs/guides/spec-coverage.md` (commit 75e38bd)",
    KRICH: "krich11/kme, `app/models/etsi_models.py` (commit c800c70); for the calls it has other numbers, one less each",
    THESIS: "a thesis on a TLS keyed by QKD, in a public repository of which only the text was at hand; it quotes the "
    "clause's words on HTTPS, TLS 1.2 and mutual authentication",
}
"""Public repositories on GitHub, each written by others."""
CLAUSES = (
    Clause("4", "what the interface is for, and what it takes for granted"),
    Clause("5.1", "HTTPS, certificates, identities, JSON", (THESIS,)),
    Clause("5.2", "Get status", (JENA_CALLS, JEPSEN)),
    Clause("5.3", "Get key", (JENA_CALLS, JEPSEN)),
    Clause("5.4", "Get key with key IDs", (JENA_CALLS, JEPSEN)),
    Clause("6.1", "Status", (JENA_OBJECTS, KRICH)),
    Clause("6.2", "Key request", (JENA_OBJECTS, THESIS)),
    Clause("6.3", "Key container", (JENA_OBJECTS, KRICH)),
    Clause("6.4", "Key IDs", (JENA_OBJECTS,)),
    Clause("6.5", "Error", (KRICH,)),
)

STATEMENTS = (
    Statement("https", "5.1", "Calls and answers travel over HTTPS."),
    Statement("tls-1.2", "5.1", "TLS is of version 1.2 or higher."),
    Statement("mutual", "5.1", "KME and SAE authenticate each other when a connection is made; who fails is refused."),
    Statement("sae-by-certificate", "5.1", "The KME learns the caller's SAE ID from its certificate, from nothing else."),
    Statement("kme-by-certificate", "5.1", "The SAE can learn the KME's ID from the KME's certificate."),
    Statement("unique-ids", "5.1", "SAE and KME IDs are unique in the network; in URLs they stand URL-encoded."),
    Statement("json", "5.1", "Bodies are JSON in UTF-8, of content type application/json."),
    Statement("path", "5.2-5.4", "The calls are /api/v1/keys/{SAE ID}/status, .../enc_keys and .../dec_keys."),
    Statement("methods", "5.2-5.4", "Status is GET; enc_keys and dec_keys are POST, and GET where parameters are simple."),
    Statement("status-given", "5.2", "Get status answers 200 with a Status about the caller and the slave in the path."),
    Statement("status-refused", "5.2", "Get status answers 400 to a malformed call, 401 to a caller without a right."),
    Statement("keys-given", "5.3", "Get key answers 200 with a Key container for the caller (master) and the slave."),
    Statement("get-simple", "5.3", "GET enc_keys is for calls with nothing, or with number and size alone."),
    Statement("keys-refused", "5.3", "Get key answers 400 with an Error to a call that is malformed."),
    Statement("keys-unauthorized", "5.3", "Get key answers 401 to a caller that is not entitled."),
    Statement("keys-503", "5.3", "Get key answers 503 with an Error where the server cannot.", elsewhere="unit/test_etsi014_door.py"),
    Statement("leave-the-pool", "5.3", "Keys that were given to the master are given to no further call of Get key."),
    Statement("known-keys-given", "5.4", "Get key with key IDs gives the slave the keys of these IDs; the path has the master's ID."),
    Statement("get-one-id", "5.4", "GET dec_keys is for one key_ID without extension."),
    Statement("only-named-slaves", "5.4", "Only an SAE that Get key named for an ID may have its key; others get 401."),
    Statement("all-or-nothing", "5.4", "Where one ID is not found, 400 with its text is answered, and no key given."),
    Statement("once", "5.4", "Keys that a slave was given are not given to it again."),
    Statement("ids-refused", "5.4", "Get key with key IDs answers 400 with an Error to a call that is malformed."),
    Statement("same-keys", "4", "Master and slaves get the same key under the same ID.", binds="network"),
    Statement("status-fields", "6.1", "A Status has its eleven fields, IDs as strings, counts and sizes (bits) as integers."),
    Statement("status-truth", "6.1", "The limits that a Status names are those that Get key keeps."),
    Statement("status-extension", "6.1", "A Status may have a status_extension, which is an object."),
    Statement("number-default", "6.2", "number is an integer, 1 where it is absent."),
    Statement("number-limit", "6.2", "number is at most max_key_per_request."),
    Statement("size-default", "6.2", "size is an integer in bits, key_size of the Status where it is absent."),
    Statement("size-limits", "6.2", "size is from min_key_size to max_key_size."),
    Statement("size-bytes", "6.2", "Where only whole bytes are given, another size is refused by 400 and a fixed text."),
    Statement("multicast", "6.2", "additional_slave_SAE_IDs names further slaves, who may have the same keys."),
    Statement("multicast-limit", "6.1", "At most max_SAE_ID_count of them are named; 0 says that none can be."),
    Statement("mandatory-unknown", "6.2", "An extension_mandatory that is not known is refused by 400 and a fixed text."),
    Statement("mandatory-unmet", "6.2", "An extension_mandatory that cannot be met is refused by 400 and a fixed text."),
    Statement("optional-ignored", "6.2", "An extension_optional that is not known may be passed over."),
    Statement("optional-refused", "6.2", "A server that refuses over an extension_optional does so by 400 and a fixed text."),
    Statement("extension-lists", "6.2", "Both extensions are arrays of objects of names and any JSON values."),
    Statement("empty-request", "6.2", "A Key request without any field is legal."),
    Statement("container", "6.3", "A Key container has keys, an array of objects with key_ID and key."),
    Statement("key-id-uuid", "6.3", "A key_ID is a UUID, and no two keys share one."),
    Statement("key-base64", "6.3", "A key is base64 of exactly the size asked."),
    Statement("key-ids", "6.4", "Key IDs has key_IDs, an array of objects with key_ID; extensions beside them are allowed."),
    Statement("error", "6.5", "An Error has a message, a string."),
    Statement("sae-keeps-keys", "4", "The SAE keeps its keys and certificate safe.", binds="SAE", elsewhere="the SAE's duty"),
    Statement("trusted-site", "4", "SAE and KME stand in one secured site.", binds="SAE", elsewhere="the operator's duty"),
)  # fmt: skip
"""In the order of the page."""

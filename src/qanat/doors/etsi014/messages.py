"""The objects of ETSI GS QKD 014 V1.1.1, clause 6, with their JSON spellings, which exist nowhere else in the house.

Requests are parsed with these models, and the published schema comes from them; answers with keys are written by
``encoding``, which is faster. Unknown fields are ignored: clients send some, and the standard may grow.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

EXTENSION_PREFIX = "qanat_"
"""Our vendor prefix: names of our extensions begin with it (clause 6.2)."""


class _Object(BaseModel):
    # Strict: "3" is no integer in JSON. Input is hidden from error texts, because it can hold keys.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class Status(_Object):
    """Answer to "get status" (clause 6.1). Sizes are in bits."""

    source_kme: str = Field(alias="source_KME_ID")
    target_kme: str = Field(alias="target_KME_ID")
    master: str = Field(alias="master_SAE_ID")
    slave: str = Field(alias="slave_SAE_ID")
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_additional_slaves: int = Field(alias="max_SAE_ID_count")
    status_extension: dict[str, JsonValue] | None = None


class KeyRequest(_Object):
    """Body of "get key" (clause 6.2). Every field has a default, so an empty object, or no body, is legal."""

    number: int | None = Field(default=None, description="number of keys, 1 by default")
    size: int | None = Field(
        default=None, description="bits per key, a multiple of 8; key_size of the status by default"
    )
    additional_slaves: list[str] | None = Field(default=None, alias="additional_slave_SAE_IDs")
    extension_mandatory: list[dict[str, JsonValue]] | None = None
    extension_optional: list[dict[str, JsonValue]] | None = None


class Key(_Object):
    """A key of a key container: its id and its bytes in base64."""

    key_id: str = Field(alias="key_ID", description="UUID")
    key: str = Field(description="base64", repr=False)
    key_id_extension: dict[str, JsonValue] | None = Field(default=None, alias="key_ID_extension")
    key_extension: dict[str, JsonValue] | None = None


class KeyContainer(_Object):
    """Answer to "get key" and to "get key with key IDs" (clause 6.3)."""

    keys: list[Key]
    key_container_extension: dict[str, JsonValue] | None = None


class WantedKey(_Object):
    """An entry of a list of key ids."""

    key_id: str = Field(alias="key_ID", description="UUID")


class KeyIDs(_Object):
    """Body of "get key with key IDs" (clause 6.4)."""

    key_ids: list[WantedKey] = Field(alias="key_IDs")
    extension: dict[str, JsonValue] | None = Field(default=None, alias="key_IDs_extension")


class Error(_Object):
    """Body of every answer that is not 200 (clause 6.5); 401 has one too, because clients parse it.

    The other three are there only when the request used an extension of ours; ``message`` ends with the remedy.
    """

    message: str
    qanat_fault: str | None = None
    qanat_remedy: str | None = None
    qanat_retry_after_s: float | None = None

"""The base of records that are models: frozen, unknown fields kept, wrong types refused."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import DecodeError


class Record(BaseModel):
    """A record on a low-rate topic. ``encode``/``decode`` are its one codec."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants", allow_inf_nan=False)

    def encode(self) -> bytes:
        """UTF-8 JSON, fields in declared order; fields that are ``None`` are left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, value: bytes | None) -> Self:
        """Read the JSON. Raises :class:`DecodeError` naming the first wrong field."""
        if value is None:
            raise DecodeError(f"a {cls.__name__} record has no value")
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DecodeError(f"{cls.__name__}.{where}: {first['msg']}") from error

"""What all specs share: frozen, no unknown keys, and a docstring under each field as its documentation."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]


PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""Of what files and folders are named after: it can lead nowhere else."""

PlainName = Annotated[str, Field(pattern=PLAIN_NAME)]


class Spec(BaseModel):
    """A validated, immutable piece of a trial."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _kind_before_there_were_others(cls, values: Any) -> Any:
        """A part that is written without its kind is of the default's, or else of the first: it stays readable."""
        if not isinstance(values, Mapping):
            return values
        for name, field in cls.model_fields.items():
            part = values.get(field.alias or name)
            if field.discriminator == "kind" and isinstance(part, Mapping) and "kind" not in part:
                kind = (
                    getattr(field.default, "kind", None) or get_args(field.annotation)[0].model_fields["kind"].default
                )
                values = {**values, field.alias or name: {"kind": kind, **part}}
        return values

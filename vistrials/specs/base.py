"""What all specs share: frozen, no unknown keys, and a docstring under each field as its documentation."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]


class Spec(BaseModel):
    """A validated, immutable piece of a trial."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

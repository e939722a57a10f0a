"""What all specs share: frozen, no unknown keys, and a docstring under each field as its documentation."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A validated, immutable piece of a trial."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

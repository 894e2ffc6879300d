"""What every part of a run's settings is: frozen, and strict about what it does not know."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A part of the settings; the docstring of a field is its meaning in docs/settings.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

"""What a setting may be, and what one table of the settings is."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from entrypoints import settings_rules as rules

Host = Annotated[str, AfterValidator(rules.host)]
Line = Annotated[str, AfterValidator(rules.line)]
Secret = Annotated[SecretStr, AfterValidator(rules.secret)]
Port = Annotated[int, Field(ge=1, le=65535)]
ListenPort = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1, le=2**53)]
CountOrNone = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, le=86400 * 365, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Hours = Annotated[int, Field(ge=1, le=24 * 36500)]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(rules.in_capitals)
]


class Section(BaseModel):
    """One table of the settings. Strict: a text is no number."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, validate_default=True
    )

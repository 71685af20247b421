"""Where usage is recorded, and for how long (`ledger`)."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.fields import Strict

Days = Annotated[int, Field(ge=1, le=36_500)]


class LedgerSettings(Strict):
    """The ledger: one record for each completion, in `general_settings.database_url`."""

    enabled: bool = Field(True, description="Record usage. In process only where this section or database_url is set.")
    folder: str | None = Field(
        None,
        min_length=1,
        description="Folder of the journal, on a local disk; beside the SQLite file, or gateway-ledger, when left out.",
    )
    max_bytes: int = Field(1 << 30, ge=1 << 16, description="Bytes that may wait in the journal for the database.")
    when_full: Literal["go_on", "refuse"] = Field(
        "go_on", description="What becomes of requests that cannot be recorded: served all the same, or refused (503)."
    )
    retention_days: Days | None = Field(
        None, description="Days after which single records are deleted; kept when left out."
    )
    rollup_days: Days | None = Field(
        None, description="Days after which the sums by day are deleted; kept when left out."
    )

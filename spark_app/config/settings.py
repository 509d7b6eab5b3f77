"""Typed settings, the only reader of the configuration file and of the environment.

The command line beats the environment (`SPARK_APP_SECTION__KEY`), the environment beats
`conf/pipeline.toml`. The database is named by `DATABASE_URL`; secrets come from environment or file only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from spark_app.config.installation import PROJECT_ROOT, default_home
from spark_app.config.kafka import KafkaSettings
from spark_app.config.secrets import secret_in_file_of, secret_of
from spark_app.errors import SettingsError

_PREFIX = "SPARK_APP_"
_HOME_VARIABLE = "SPARK_APP_HOME"
# Python's calendar ends: nothing may reach back further.
_CENTURY_HOURS = 876_000


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


_HttpUrl = Annotated[str, Field(pattern=r"^https?://\S+$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """Where prices and holdings come from."""

    name: Literal["yahoo", "synthetic"] = "yahoo"
    endpoint: Annotated[_HttpUrl | None, BeforeValidator(_none_if_empty)] = None
    holdings_provider: Literal["yahoo", "issuer"] = "yahoo"
    holdings_url: Annotated[str, Field(pattern=r"^https?://\S*\{ticker\}\S*$")] = (
        "https://www.ssga.com/us/en/intermediary/library-content/products/fund-data/etfs/us/"
        "holdings-daily-us-en-{ticker}.xlsx"
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0


class FetchSettings(_Section):
    """How politely and how persistently the source is asked."""

    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    max_retries: Annotated[int, Field(ge=0, le=20)] = 3
    wave_size: Annotated[int, Field(ge=1, le=1000)] = 25
    cache_hours: Annotated[float, Field(ge=0, le=_CENTURY_HOURS)] = 24
    daily_request_budget: Annotated[int, Field(ge=1, le=1_000_000_000)] = 48_000
    rate_limit_pause_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 900


class GateSettings(_Section):
    """Fractions of the tickers that must have answered, else a stage serves nothing."""

    etf_coverage: Annotated[float, Field(ge=0, le=1)] = 1.0
    stock_coverage: Annotated[float, Field(ge=0, le=1)] = 0.95


class QualitySettings(_Section):
    """From which change between two sessions on, in percent, a stage reports a jump that nothing explains."""

    stock_jump_percent: Annotated[float, Field(gt=0)] = 40
    fund_jump_percent: Annotated[float, Field(gt=0)] = 25

    @property
    def limits(self) -> dict[str, float]:
        """What `transforms.jumps.with_jump` takes."""
        return {"stock_percent": self.stock_jump_percent, "fund_percent": self.fund_jump_percent}


class PortfolioSettings(_Section):
    """What the portfolio holds; `max_weight` is a fraction, at most as fine as the stored weights."""

    basis_sessions: Annotated[Literal[5, 10, 20], BeforeValidator(lambda v: int(v) if str(v).isdigit() else v)] = 20
    top_n_per_sector: Annotated[int, Field(ge=1, le=10_000)] = 5
    max_weight: Annotated[
        Decimal | None,
        BeforeValidator(lambda v: None if v == "" else str(v) if isinstance(v, float) else v),
        Field(gt=0, le=1, decimal_places=8),
    ] = None


class StagingSettings(_Section):
    """Where the Delta tables lie: a folder or a URL that Spark can write; empty means under SPARK_APP_HOME."""

    path: str = ""


_FOR_EVER = BeforeValidator(lambda v: None if v == "keep" else v)
_Days = Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, _FOR_EVER]
"""Calendar days; `keep` is for ever."""


class RetentionSettings(_Section):
    """For how long what was collected and computed is kept."""

    fetches_days: _Days = 30
    superseded_days: _Days = 30
    # Every run looks back 22 sessions, a portfolio 21.
    price_history_days: Annotated[Annotated[int, Field(ge=60, le=36_500)] | None, _FOR_EVER] = 730
    consumer_errors_days: _Days = 7
    run_log_days: _Days = None
    analytics_days: _Days = None
    vacuum_hours: Annotated[float, Field(ge=0, le=_CENTURY_HOURS)] = 168


class PatienceSettings(_Section):
    """How long Postgres is waited for."""

    retry_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    answer_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0


class SyntheticSettings(_Section):
    """The built-in market for trying things out."""

    seed: Annotated[int, Field(ge=0)] = 20
    stocks_per_sector: Annotated[int, Field(ge=1, le=500)] = 12
    leading_sectors: Annotated[int, Field(ge=0, le=11)] = 2


class Settings(BaseSettings):
    """All settings of a run."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    source: SourceSettings = SourceSettings()
    fetch: FetchSettings = FetchSettings()
    gate: GateSettings = GateSettings()
    quality: QualitySettings = QualitySettings()
    portfolio: PortfolioSettings = PortfolioSettings()
    staging: StagingSettings = StagingSettings()
    retention: RetentionSettings = RetentionSettings()
    database: PatienceSettings = PatienceSettings()
    kafka: KafkaSettings = KafkaSettings()
    synthetic: SyntheticSettings = SyntheticSettings()

    @property
    def staging_path(self) -> str:
        """The folder or URL of the Delta tables."""
        path = self.staging.path or str(app_home() / "staging")
        # Delta knows absolute paths only.
        return path if "://" in path else str(Path(path).absolute())

    @property
    def data_origin(self) -> Literal["real", "synthetic"]:
        """What kind of data this run writes; the two kinds never share a database."""
        return "synthetic" if self.source.name == "synthetic" else "real"


class DatabaseSettings(BaseModel):
    """How Postgres is reached; `url` None means the embedded one."""

    model_config = ConfigDict(frozen=True)

    url: SecretStr | None = None
    admin_url: SecretStr | None = None
    password: SecretStr | None = None


def app_home() -> Path:
    """The folder for everything that the pipeline keeps: SPARK_APP_HOME, else `var` beside the code of a checkout."""
    return Path(os.environ.get(_HOME_VARIABLE) or default_home()).absolute()


def load_settings(
    *, config_file: str | None = None, overrides: Mapping[str, Mapping[str, object]] | None = None
) -> Settings:
    """Read the settings: `overrides` (of the command line) over environment over file.

    Args:
        config_file: another file than `conf/pipeline.toml`; must exist.
        overrides: section -> key -> value.
    Raises: SettingsError: an unknown key, a bad value, an unreadable file; the text names it.
    """
    _refuse_unknown_variables()
    toml_file = _settings_file(config_file)

    class _Loader(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file)

    try:
        return _Loader(**{section: dict(values) for section, values in (overrides or {}).items()})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_describe(error)) from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the settings file {toml_file}: {error}") from error


def load_database_settings() -> DatabaseSettings:
    """Read DATABASE_URL, DATABASE_ADMIN_URL and the file named by DATABASE_PASSWORD_FILE.

    Raises: SettingsError: the password file cannot be read.
    """
    password = secret_in_file_of("DATABASE_PASSWORD_FILE")
    return DatabaseSettings(url=secret_of("DATABASE_URL"), admin_url=secret_of("DATABASE_ADMIN_URL"), password=password)


def _settings_file(config_file: str | None) -> Path | None:
    if config_file is None:
        default = PROJECT_ROOT / "conf" / "pipeline.toml"
        return default if default.is_file() else None
    path = Path(config_file)
    with contextlib.suppress(OSError):  # For example a name that is too long for the file system.
        if path.is_file():
            return path
    raise SettingsError(f"--config {config_file}: there is no such file")


def _refuse_unknown_variables() -> None:
    """pydantic-settings passes over variables of unknown sections; a misspelt one must not be ignored."""
    known = {f"{_PREFIX}{section}__{key}".upper() for section, key in _keys()}
    for variable in sorted(os.environ):
        if variable.upper().startswith(_PREFIX) and variable != _HOME_VARIABLE and variable.upper() not in known:
            raise SettingsError(
                f"environment variable {variable}: there is no such setting; "
                f"settings are spelt SPARK_APP_SECTION__KEY as in conf/pipeline.toml"
            )


def _keys() -> list[tuple[str, str]]:
    sections: dict[str, Any] = {name: field.annotation for name, field in Settings.model_fields.items()}
    return [(section, key) for section, model in sections.items() for key in model.model_fields]


def _describe(error: ValidationError) -> str:
    parts = []
    for detail in error.errors(include_url=False):
        name = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            parts.append(f"setting {name}: there is no such setting")
        else:
            message = detail["msg"][0].lower() + detail["msg"][1:]
            parts.append(f"setting {name}: {detail['input']!r}: {message}")
    return "; ".join(parts)

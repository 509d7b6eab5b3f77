"""Typed settings with their descriptions, ranges and defaults; the only reader of the settings file.

The command line beats the environment (`SPARK_APP_SECTION__KEY`), the environment beats
`conf/pipeline.toml`. `DATABASE_URL` names the database; secrets come from the environment or from files only.
After a change of a setting run `make docs`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from spark_app.config.backtest import BacktestSettings
from spark_app.config.corrections import CorrectionsSettings
from spark_app.config.dates import Dates
from spark_app.config.files import FilesSettings
from spark_app.config.installation import HOME_VARIABLE, PROJECT_ROOT, app_home
from spark_app.config.kafka import KafkaSettings
from spark_app.config.secrets import secret_in_file_of, secret_of
from spark_app.config.section import Section, read_toml
from spark_app.errors import SettingsError
from spark_app.universe import FIRST_SYNTHETIC_SESSION

_PREFIX = "SPARK_APP_"
# Longer times would be out of the range of Python's dates.
_CENTURY_HOURS = 876_000
_LONGEST_SHOWN = 200
_Model = TypeVar("_Model", bound=BaseSettings)


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _none_if_keep(value: object) -> object:
    return None if value == "keep" else value


def _whole_if_digits(value: object) -> object:
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value) else value


_HttpUrl = Annotated[str, Field(pattern=r"^https?://\S+$")]


DataOrigin = Literal["real", "synthetic", "files"]
"""The kinds of data: fetched from a source, made up, or from the user's own files."""


class SourceSettings(Section):
    """Where prices and holdings come from."""

    name: Literal["yahoo", "synthetic", "files"] = Field(
        default="yahoo",
        description="yahoo; synthetic: a made-up market, offline; or files: what import_files read, offline",
    )
    endpoint: Annotated[_HttpUrl | None, BeforeValidator(_none_if_empty)] = Field(
        default="",
        validate_default=True,
        description='http://host:port of a caching proxy or an emulator; "" = Yahoo itself',
    )
    holdings_provider: Literal["yahoo", "issuer"] = Field(
        default="yahoo",
        description="yahoo: the ten largest holdings of a fund; issuer: all of them, from its daily workbook",
    )
    holdings_url: Annotated[str, Field(pattern=r"^https?://\S*\{ticker\}\S*$")] = Field(
        default="https://www.ssga.com/us/en/intermediary/library-content/products/fund-data/etfs/us/"
        "holdings-daily-us-en-{ticker}.xlsx",
        description="address of the issuer's workbook; {ticker} becomes the fund's ticker in lower case",
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        default=20.0, description="timeout of one HTTP request, in seconds"
    )


class FetchSettings(Section):
    """Rate limiting, retries and the cache."""

    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5.0,
        description="pause between two requests of all workers and jobs together, in seconds; 0 = none; "
        "at the source it is kept from 1 second on: a busy machine sends some requests late",
    )
    max_retries: Annotated[int, Field(ge=0, le=20)] = Field(
        default=3, description="retries of a request that failed for a transient reason"
    )
    wave_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=25, description="tickers that are fetched and committed together"
    )
    cache_hours: Annotated[float, Field(ge=0, le=_CENTURY_HOURS)] = Field(
        default=24,
        description="data that was fetched within this many hours, and after the session's close, is not fetched again",
    )
    daily_request_budget: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        default=48_000, description="HTTP requests per day (UTC) of all jobs together; then none until midnight UTC"
    )
    rate_limit_pause_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = Field(
        default=900,
        description="after a rate limit no job sends a request for this many seconds, "
        "or for as long as the source asks for, at most a day, if that is longer",
    )


class GateSettings(Section):
    """How much of the data a stage needs before it serves any of it."""

    etf_coverage: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="fraction of the funds whose data is required; with less the stage fails (exit code 65)",
    )
    stock_coverage: Annotated[float, Field(ge=0, le=1)] = Field(default=0.95, description="the same for stocks")
    skipped_holdings_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        default=5.0,
        description="largest weight of a fund's rows that are neither shares nor cash, futures and the like, "
        "in percent; with more its holdings are refused",
    )
    allowed_missing: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1,
        description="so many stocks may lack data even if stock_coverage is not reached, a poor limit for a few stocks;"
        " 0 where stock_coverage is 1",
    )
    delisted_after_sessions: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5,
        description="a stock's chart has ended when its last bar is this many sessions before the as-of session;"
        " no later bars of it are required",
    )


class QualitySettings(Section):
    """Price outliers: changes between two sessions that a stage keeps, and reports in `logs_consumer_error`."""

    stock_jump_percent: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=40,
        description="largest change of a stock's adjusted close, up or down, that is not an outlier, in percent",
    )
    fund_jump_percent: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=25, description="the same for funds"
    )

    @property
    def limits(self) -> dict[str, float]:
        """What `transforms.outliers.with_outlier` takes."""
        return {"stock_percent": self.stock_jump_percent, "fund_percent": self.fund_jump_percent}


class VerificationSettings(Section):
    """When `verify_data` and `status` warn or fail: the newest session served is behind the last one, many files."""

    warn_after_sessions: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1, description="so many sessions behind is a warning: the next run may bring them"
    )
    fail_after_sessions: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=2, description="so many sessions behind fails the check (exit code 1)"
    )
    warn_above_files: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="a staging table with more files than this is a warning: reading it gets slow"
    )


class ScheduleSettings(Section):
    """What `daily_pipeline` does about sessions that a schedule missed."""

    catch_up_sessions: Annotated[int, Field(ge=1, le=250)] = Field(
        default=20,
        description="largest number of missed sessions that `--catch-up` runs; more are computed by `republish`",
    )


class PortfolioSettings(Section):
    """How stage 5 selects and weights positions."""

    basis_sessions: Annotated[Literal[5, 10, 20], BeforeValidator(_whole_if_digits)] = Field(
        default=20, description="the period, in trading sessions, whose trends decide what the portfolio contains"
    )
    top_n_per_sector: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=5, description="largest number of positions per sector"
    )
    max_weight: Annotated[
        Annotated[Decimal, Field(gt=0, le=1, decimal_places=8)] | None,
        BeforeValidator(lambda v: None if v == "" else str(v) if isinstance(v, float) else v),
    ] = Field(
        default=None,
        description="largest weight of one position, a fraction with at most 8 decimals; unset = no limit; "
        "with too few positions for it all weights are equal",
        examples=[0.25],
    )


class CalendarSettings(Section):
    """Corrections of the exchange's calendar, for days that the installed one does not know yet."""

    closures: Dates = Field(
        default=(),
        description="days on which the exchange was closed, as dates; in the environment with commas between them",
    )
    extra_sessions: Dates = Field(
        default=(), description="days on which it traded although the calendar has none; until 16:00 New York"
    )

    @model_validator(mode="after")
    def _refuse_both(self) -> Self:
        if both := sorted(set(self.closures) & set(self.extra_sessions)):
            raise ValueError(f"{both[0]} is both a closure and an extra session: remove it from one of them")
        return self


def _without_control_characters(path: str) -> str:
    if not path.isprintable():
        raise ValueError("expected a path without control characters")
    return path


class StagingSettings(Section):
    """Where the Delta tables are."""

    path: Annotated[str, AfterValidator(_without_control_characters)] = Field(
        default="",
        description='a folder, or a URL that Spark can write to; "" = the folder staging under SPARK_APP_HOME',
    )


_SomeDays = Annotated[int, Field(ge=1, le=36_500)]
# Every run looks back 22 sessions, a portfolio 21.
_ManyDays = Annotated[int, Field(ge=60, le=36_500)]
_Days = Annotated[_SomeDays | None, BeforeValidator(_none_if_keep, json_schema_input_type=_SomeDays | Literal["keep"])]
_HistoryDays = Annotated[
    _ManyDays | None, BeforeValidator(_none_if_keep, json_schema_input_type=_ManyDays | Literal["keep"])
]


class RetentionSettings(Section):
    """What `apply_retention` removes: rows older than this number of calendar days; "keep" keeps them for ever."""

    fetches_days: _Days = Field(
        default=30, description="answers as they were landed, but those that the next run still uses"
    )
    superseded_days: _Days = Field(
        default=30,
        description="staged rows, counted from the fetch that replaced them; the newest row of each key stays",
    )
    price_history_days: _HistoryDays = Field(
        default=730, description="served prices and holdings, and the staged rows that their sessions need"
    )
    consumer_errors_days: _Days = Field(default=7, description="rows of logs_consumer_error: data that was rejected")
    run_log_days: _Days = Field(
        default="keep",
        validate_default=True,
        description="rows of logs_pipeline_run, but the runs of served rows, and the last successful one of each "
        "stage, date and parameters; of logs_fetch, but what brought served rows; of logs_price_restatement",
    )
    analytics_days: _Days = Field(
        default="keep",
        validate_default=True,
        description="trends, portfolios and exclusions; backtests by the day they were computed",
    )
    compact_above_files: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=100, description="a staging table with more files than this is compacted into few"
    )
    vacuum_hours: Annotated[float, Field(ge=0, le=_CENTURY_HOURS)] = Field(
        default=168,
        description="unused files of staging stay for this many hours, for programs that still read them",
    )


class RetrySettings(Section):
    """How long a run waits for Postgres; DATABASE_URL says which one."""

    retry_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=30.0,
        description="a lost connection, a restart, too many connections: retried for this many seconds; 0 = never",
    )
    answer_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        default=300.0, description="a statement without an answer for this many seconds counts as a lost connection"
    )


class SyntheticSettings(Section):
    """The made-up market of `--source synthetic`."""

    seed: Annotated[int, Field(ge=0)] = Field(default=20, description="each seed gives another market")
    stocks_per_sector: Annotated[int, Field(ge=1, le=500)] = Field(default=12, description="stocks in each sector")
    leading_sectors: Annotated[int, Field(ge=0, le=11)] = Field(
        default=2, description="sectors that trend over 20 sessions on every session; 0 = left to chance"
    )


class Settings(BaseSettings):
    """All settings of a run."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
    )

    source: SourceSettings = Field(default_factory=SourceSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    quality: QualitySettings = Field(default_factory=QualitySettings)
    portfolio: PortfolioSettings = Field(default_factory=PortfolioSettings)
    backtest: BacktestSettings = Field(default_factory=BacktestSettings)
    calendar: CalendarSettings = Field(default_factory=CalendarSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    corrections: CorrectionsSettings = Field(default_factory=CorrectionsSettings)
    verification: VerificationSettings = Field(default_factory=VerificationSettings)
    staging: StagingSettings = Field(default_factory=StagingSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    database: RetrySettings = Field(default_factory=RetrySettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    files: FilesSettings = Field(default_factory=FilesSettings)
    synthetic: SyntheticSettings = Field(default_factory=SyntheticSettings)

    @property
    def staging_path(self) -> str:
        """The folder or URL of the Delta tables."""
        path = self.staging.path or str(app_home() / "staging")
        # Delta accepts absolute paths only.
        return path if "://" in path else str(Path(path).absolute())

    @property
    def deciding(self) -> dict[str, dict[str, object]]:
        """The sections that decide what is fetched and computed, as JSON, for the run log."""
        sections = {"source", "fetch", "gate", "quality", "portfolio", "calendar"}
        if self.data_origin != "real":
            sections.add(self.data_origin)
        return self.model_dump(mode="json", include=sections)

    @property
    def data_origin(self) -> DataOrigin:
        """What kind of data this run writes; no two kinds share a database."""
        return "real" if self.source.name == "yahoo" else self.source.name

    @property
    def first_sessions(self) -> Mapping[str, dt.date]:
        """The first session of each priced fund; the synthetic market has all of them from its own first session on."""
        listed = self.corrections.first_sessions_in_force
        return dict.fromkeys(listed, FIRST_SYNTHETIC_SESSION) if self.data_origin == "synthetic" else listed

    def of_origin(self, origin: str) -> Settings:
        """The same settings with a source of this kind of data."""
        if origin == self.data_origin:
            return self
        name = "yahoo" if origin == "real" else origin
        return self.model_copy(update={"source": self.source.model_copy(update={"name": name})})


class DatabaseSettings(BaseModel):
    """The connection to Postgres; without `url` it is the embedded one."""

    model_config = ConfigDict(frozen=True)

    url: SecretStr | None = None
    admin_url: SecretStr | None = None
    password: SecretStr | None = None


def variable_of(section: str, key: str) -> str:
    """The environment variable of a setting."""
    return f"{_PREFIX}{section}__{key}".upper()


class _TomlFile(TomlConfigSettingsSource):
    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        return read_toml(file_path)


def load_settings(
    *, config_file: str | None = None, overrides: Mapping[str, Mapping[str, object]] | None = None
) -> Settings:
    """Read the settings: `overrides` (the command line) beat the environment, the environment beats the file.

    Args:
        config_file: another file than `conf/pipeline.toml`; must exist.
        overrides: section -> key -> value.
    Raises: SettingsError: an unknown key, an invalid value, an unreadable file; the text names it.
    """
    return _load(Settings, config_file, overrides or {})


def load_sections(names: Collection[str], *, config_file: str | None = None) -> dict[str, Section]:
    """Read some sections of the settings, as `load_settings` does, without looking at the values of the others.

    Raises: SettingsError.
    """
    wanted = {name: (field.annotation, field) for name, field in Settings.model_fields.items() if name in names}
    part = create_model("Part", __base__=BaseSettings, **wanted)  # type: ignore[call-overload]
    part.model_config |= Settings.model_config | {"extra": "ignore"}
    return dict(_load(part, config_file, {}))


def _load(model: type[_Model], config_file: str | None, overrides: Mapping[str, Mapping[str, object]]) -> _Model:
    _refuse_unknown_variables()
    toml_file = _settings_file(config_file)

    class _Loader(model):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, _TomlFile(settings_cls, toml_file)

    try:
        loaded: _Model = _Loader(**{section: dict(values) for section, values in overrides.items()})
    except ValidationError as error:
        raise SettingsError(_describe(error)) from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the settings file {toml_file}: {error}") from error
    return loaded


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
    """Reject misspelt variables: pydantic-settings ignores those of unknown sections."""
    known = {variable_of(section, key) for section, key in _keys()}
    for variable in sorted(os.environ):
        if variable.upper().startswith(_PREFIX) and variable != HOME_VARIABLE and variable.upper() not in known:
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
            rule = detail["msg"].removeprefix("Value error, ")
            message = rule[0].lower() + rule[1:]
            parts.append(f"setting {name}: {_shown(detail['input'])}: {message}")
    return "; ".join(parts)


def _shown(value: object) -> str:
    """The value as Python writes it; of a long one, such as a list of tables, the beginning."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."

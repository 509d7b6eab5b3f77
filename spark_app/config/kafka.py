"""Access to Kafka: the section `kafka` of the settings, the password, and the start of a replay."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from spark_app.config.secrets import secret_in_file_of, secret_of
from spark_app.config.section import Section
from spark_app.errors import SettingsError


class KafkaSettings(Section):
    """The topic that gets a message for each committed row; docs/TOPIC.md describes it."""

    bootstrap_servers: Annotated[str, Field(pattern=r"^([^\s,:/]+:\d+|\[[0-9a-fA-F:]+\]:\d+|,)*$")] = Field(
        default="", description='host:port,host:port of the brokers; "" = no messages'
    )
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = Field(
        default="stock-market-data", description="name of the topic"
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        default=5.0,
        description="a stage waits for the broker for this many seconds; the next run sends what is still pending",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="encryption and authentication, as in Kafka's own clients"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="used with SASL_*; the password comes from KAFKA_PASSWORD or KAFKA_PASSWORD_FILE"
    )
    sasl_username: str = Field(default="", description='user name at the broker; "" = none')
    ssl_ca_file: str = Field(
        default="", description="PEM file of the authorities that sign the broker's certificate; \"\" = the system's"
    )
    ssl_certificate_file: str = Field(default="", description='PEM file of the own certificate; "" = none')
    ssl_key_file: str = Field(
        default="", description='PEM file of its key, without a password, that begins with BEGIN PRIVATE KEY; "" = none'
    )


@dataclass(frozen=True)
class TopicStart:
    """Where a replay starts: at an offset of each partition, or at a time (UTC); by default at the beginning.

    `offset` applies to the partitions that `offsets` does not name.
    """

    offset: int = 0
    offsets: Mapping[int, int] | None = None
    time: dt.datetime | None = None


@dataclass(frozen=True)
class KafkaAccess:
    """The settings with the password, if one is needed; its repr never shows it."""

    settings: KafkaSettings
    password: SecretStr | None = None


def load_kafka_access(settings: KafkaSettings) -> KafkaAccess | None:
    """Add the password from KAFKA_PASSWORD or the file that KAFKA_PASSWORD_FILE names; None if Kafka is not used.

    Raises: SettingsError: a user, a password or a file of certificates is missing.
    """
    if not settings.bootstrap_servers:
        return None
    for key in ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file"):
        file = getattr(settings, key)
        if file and not os.access(file, os.R_OK):
            raise SettingsError(f"setting kafka.{key}: cannot read {file}")
    if bool(settings.ssl_certificate_file) != bool(settings.ssl_key_file):
        raise SettingsError("settings kafka.ssl_certificate_file and kafka.ssl_key_file belong together")
    if not settings.security_protocol.startswith("SASL"):
        return KafkaAccess(settings)
    password = secret_in_file_of("KAFKA_PASSWORD_FILE") or secret_of("KAFKA_PASSWORD")
    if not settings.sasl_username or password is None:
        raise SettingsError(
            f"setting kafka.security_protocol: {settings.security_protocol} needs kafka.sasl_username and a password,"
            " in KAFKA_PASSWORD or in the file that KAFKA_PASSWORD_FILE names"
        )
    return KafkaAccess(settings, password)

"""Secrets and the logs of Py4J."""

from __future__ import annotations

import logging

import pytest

from spark_app.config.secrets import keep_secrets_out_of_python_logs


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Command to send: c\no12\noption\nspassword\nss3cret\ne\n", "Command to send: c\no12\noption"),
        ("Command to send: m\nd\no12\ne\n", "Command to send: m\nd"),
        ("Answer received: !yv", "Answer received: !yv"),
    ],
)
@pytest.mark.parametrize("name", ["py4j.clientserver", "py4j.java_gateway"])
def test_py4j_logs_the_method_of_a_call_without_its_arguments(
    name: str, message: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        keep_secrets_out_of_python_logs()
    with caplog.at_level(logging.DEBUG, name):
        logging.getLogger(name).debug(message)
    assert caplog.messages == [expected]

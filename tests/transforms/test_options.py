from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spark_app.errors import SettingsError
from spark_app.transforms.options import PortfolioOptions


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"basis_sessions": 7}, "basis_sessions"),
        ({"top_n_per_sector": 0}, "top_n_per_sector"),
        ({"max_weight": Decimal("0")}, "max_weight"),
        ({"max_weight": Decimal("1.1")}, "max_weight"),
        ({"max_weight": Decimal("NaN")}, "max_weight"),
        ({"max_weight": Decimal("0.123456789")}, "max_weight"),
    ],
)
def test_an_impossible_choice_is_refused_by_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        PortfolioOptions(**changes)


@pytest.mark.parametrize("max_weight", [None, Decimal(1), Decimal("0.12345678"), Decimal("0.2500000000")])
def test_a_possible_limit_is_accepted(max_weight: Decimal | None) -> None:
    assert PortfolioOptions(max_weight=max_weight).max_weight == max_weight

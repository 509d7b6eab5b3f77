"""What asking a source brought, ticker by ticker, for messages, the run log and the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FetchSummary:
    """What asking the source for one kind brought, ticker by ticker."""

    requests: int = 0
    answered: tuple[str, ...] = ()
    failed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Ticker -> outcome and message, of those that did not end `ok`."""
    cached: int = 0

    @property
    def asked(self) -> int:
        return len(self.answered) + len(self.failed)

    def tickers_with(self, *outcomes: str) -> list[str]:
        """List the tickers that ended with one of these outcomes."""
        return sorted(ticker for ticker, (outcome, _) in self.failed.items() if outcome in outcomes)

    def describe(self, what: str) -> str:
        """Say in a phrase how the tickers ended; `what` names them."""
        parts = [f"{len(self.answered)} of {self.asked} {what} answered"]
        if self.cached:
            parts[0] += f" ({self.cached} cached)"
        outcomes = Counter(outcome for outcome, _ in self.failed.values())
        parts += [f"{number} {outcome}" for outcome, number in sorted(outcomes.items())]
        return ", ".join(parts)

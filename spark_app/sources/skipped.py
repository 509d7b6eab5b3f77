"""What of an answer is skipped, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from spark_app.sources.bodies import RAW_TEXT_CHARS

_LISTED = 10


class SkippedPart(NamedTuple):
    """A row or an event that is not used: its name or date, None where it has none, and the whole of it as a text."""

    name: str | None
    text: str


def describe_skipped(**skipped: Mapping[str, Sequence[SkippedPart]]) -> tuple[str | None, str | None]:
    """The message and the raw text of a partially parsed answer; None twice if nothing was skipped.

    Args:
        skipped: what the parts are: their reasons, and the parts; the first of them are named.
    """
    found = {what: reasons for what, reasons in skipped.items() if reasons}
    if not found:
        return None, None
    messages = [f"{what} skipped, {'; '.join(map(_describe, r, r.values()))}" for what, r in found.items()]
    texts = [part.text for reasons in found.values() for parts in reasons.values() for part in parts[:_LISTED]]
    return "; ".join(messages), "; ".join(texts)[:RAW_TEXT_CHARS]


def _describe(reason: str, parts: Iterable[SkippedPart]) -> str:
    names = list(dict.fromkeys(part.name for part in parts if part.name is not None))
    return f"{reason}: {', '.join(names[:_LISTED])}" if names else reason

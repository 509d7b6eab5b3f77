"""Bodies as somebody else might send them: any JSON, and known bodies of which one part is another."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

# What JSON can carry and programs stumble over: half a surrogate pair, a zero character, more than 64 bits, infinity.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**63, 10**30, 1709821800]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\ud800", "\x00", "NaN", "America", "America/New_York", "../UTC", "1e999"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def altered(draw: st.DrawFn, body: Any) -> Any:
    """The body, with one to three of its parts replaced by any JSON or removed."""
    changed = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        part = changed
        while isinstance(part, (dict, list)) and part:
            place = draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
            inside = part[place]
            if isinstance(inside, (dict, list)) and inside and draw(st.integers(0, 3)):
                part = inside
                continue
            if draw(st.booleans()):
                part[place] = draw(JSON)
            else:
                del part[place]
            break
    return changed

"""Take the signatures off the jars in a folder: `drop_signatures.py FOLDER`.

Java checks the hash of each class of a signed jar at every start and takes none of them from an archive of classes;
for Spark's Janino that is half a second of every job. What the jars contain was checked when they came, by the
locks. The standard library must do: nothing else may be there yet.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

_SIGNATURE = re.compile(r"META-INF/[^/]+\.(SF|DSA|RSA|EC)")


def drop_signature(jar: Path) -> None:
    """Replace a jar by one without the signature, if it has one."""
    with zipfile.ZipFile(jar) as signed:
        kept = [entry for entry in signed.infolist() if not _SIGNATURE.fullmatch(entry.filename)]
        if len(kept) == len(signed.infolist()):
            return
        # A new file, not an edited one: uv may have linked it from its cache.
        new = jar.with_suffix(".new")
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as unsigned:
            for entry in kept:
                unsigned.writestr(entry, signed.read(entry))
    new.replace(jar)


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[1]).glob("*.jar")):
        drop_signature(file)

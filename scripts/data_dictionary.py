"""Write docs/DATA_DICTIONARY.md from what the database's comments say; see spark_app/storage/postgres/comments.py."""

from __future__ import annotations

from pathlib import Path

from spark_app.storage.postgres.comments import dictionary_page

if __name__ == "__main__":
    (Path(__file__).resolve().parents[1] / "docs" / "DATA_DICTIONARY.md").write_text(dictionary_page())

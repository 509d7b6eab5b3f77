"""Storage systems, one folder each: staging in Delta, results and logs in Postgres, messages in Kafka.

Begin with `delta/staging.py`, then `postgres/publishing/publish.py`.
"""

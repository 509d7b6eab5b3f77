"""Kafka: committed rows are sent as messages to a topic, and read back for a replay; docs/TOPIC.md describes them.

Read `delivery.py` first: how pending messages leave the outbox; `messages.py` validates what is read back.
"""

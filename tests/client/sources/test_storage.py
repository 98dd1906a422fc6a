"""Few enough classes and syntaxes are proposed for one association."""

from __future__ import annotations

from ichclient.sources.storage import PACKED, PLAIN, classes_of, storage_contexts


def test_every_class_has_a_plain_context_and_the_frequent_ones_packed_ones() -> None:
    wanted = {"1": {"1.1": "1.9.2", "1.2": "1.9.1"}, "2": {"2.1": "1.9.1"}}
    assert classes_of(wanted) == ["1.9.1", "1.9.2"]
    contexts = storage_contexts([f"1.2.{number}" for number in range(20)], 127)
    assert len(contexts) == 127
    assert [uid for uid, syntaxes in contexts if syntaxes == PLAIN] == [
        f"1.2.{number}" for number in range(20)
    ]
    assert [syntaxes[0] for uid, syntaxes in contexts[20:] if uid == "1.2.0"] == list(PACKED)

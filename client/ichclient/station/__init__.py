"""A station: one folder on one host in which studies arrive, wait, are judged and delivered.

    image -> received/<key>/ and a row -> quiet -> judged -> results/<key>/ -> outbox -> PACS

`state.py` is the truth of it; every arrow is one transaction, so that a station which is killed
anywhere goes on where it was. `<key>` is a keyed hash of the StudyInstanceUID: names, logs and
pages hold keys, never an identity.
"""

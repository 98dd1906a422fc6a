"""Objects of a result -> the PACS that shall have them, each exactly once.

    targets.py    what the user typed -> where objects go
    instances.py  a file -> which object it is
    outbox.py     what is still to be sent where, in SQLite: it survives any restart
    outcome.py    what a target says of an object: stored, refused, or not now
    stow.py       the way by STOW-RS
    cstore.py     the way by C-STORE
    deliver.py    outbox -> targets, once or until nothing waits
    folder.py     the same for the folder of one result

Time comes in from outside, and only deliver.py waits. A target that is away costs nothing but time;
one that refuses is told, and not asked again until somebody says so.
"""

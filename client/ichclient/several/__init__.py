"""Many studies -> a result of each, one after another on one server, and a summary of all.

What the user named becomes studies in turn (`tasks.py`), each with a hash by which it is known
again (`fingerprint.py`). `run.py` judges them and makes a row of each (`rows.py`), and
`summary.py` keeps the rows on disk as they come.
"""

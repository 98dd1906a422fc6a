"""A site's own labelled studies -> its figures beside the model card's, before it goes live.

    LABELS.csv -> labels -> run (one result a study) -> outcomes -> figures -> record -> page

`point` sets the site's operating point by a record, `signature` signs one and finds a changed byte.
"""

"""What a station did -> a log that shows when it was changed.

`keyed.py` makes and reads the station's key and gives keyed hashes instead of identifiers,
`chain.py` is the form of a line and of the sealed head, `log.py` appends, `verify.py` reads the
whole log again and says what is wrong with it.
"""

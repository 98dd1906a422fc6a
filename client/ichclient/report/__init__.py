"""Result, masks and slices -> slices.csv and report.html: what a person looks at.

- `table.py`: result -> slices.csv
- `curve.py`: slice scores -> the curve along the head
- `contour.py`: byte mask -> outlines
- `windows.py`, `pictures.py`: slices and masks -> small pictures with outlines in mm
- `sections.py`: result -> what the page says, in words
- `page.py`: all of it -> one HTML file, by the files in `template/`
- `redraw.py`: result.json on disk, and the study again -> the same page, without a server
"""

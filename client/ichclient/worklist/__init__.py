"""A station's studies -> a page in the order in which they should be read, live in a browser.

- `order.py`: studies, marks and the time -> the order, in which nothing waits for ever
- `marks.py`: which studies somebody has read, kept in the station's database
- `rows.py`: a place in the order -> the words of its row, and the same as JSON
- `page.py`: rows -> HTML, by the files in `template/`
- `files.py`: a study's key and a name -> the bytes of a known file
- `access.py`: options and a request's headers -> whether it may come in
- `routes.py`: a request -> its reply
- `server.py`: sockets -> requests, until Ctrl-C
"""

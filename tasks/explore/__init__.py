"""A local page over the index: runs, rounds, samples, tokens, and a box for questions.

server.py     listens on loopback, says where, and ends at once
guard.py      who is let in, and what a page may do
app.py        which address is which page
waiting.py    questions in threads: a few at once, none longer than allowed
asked.py      what an address asks for
finding.py    what each page shows, by queries
questions.py  the box for SQL: its answer, and a chart of it
rendering.py  pages as HTML
"""

from tasks.explore.server import explore

__all__ = ["explore"]

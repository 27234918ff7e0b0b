"""What a run did, as one page that needs nothing beside itself.

findings.py     what the index says of a round: plain rows
document.py     everything that the page shows, and the sentences that are not in its template
distribution.py numbers of tokens -> few bins; drawing.py: bins and rounds -> shapes of a chart
page.py         the document -> HTML that nothing in it can break out of
page.html.jinja and its parts, page.css, page.js
"""

from tokensieve.report.distribution import bin_numbers, bin_width
from tokensieve.report.document import Choice, Other, Report, SampleEntry
from tokensieve.report.findings import Findings, Row, ScoreBins
from tokensieve.report.page import report_page

__all__ = [
    "Choice",
    "Findings",
    "Other",
    "Report",
    "Row",
    "SampleEntry",
    "ScoreBins",
    "bin_numbers",
    "bin_width",
    "report_page",
]

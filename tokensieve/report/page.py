"""The report as one HTML page: no network, and nothing in users' data is obeyed.

Everything is escaped, a name that a template does not know is an error, and the page's own policy
runs no other style or script than the two that stand in it.
"""

import json
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tokensieve.report import wording
from tokensieve.report.distribution import influence_distribution, score_distribution
from tokensieve.report.document import Report
from tokensieve.report.drawing import HEIGHT, Histogram, histogram, rounds_panels
from tokensieve.token_maps import markup
from tokensieve.visible_text import visible

_FILTERS = (
    wording.name,
    wording.nats,
    wording.number,
    wording.percent,
    wording.places,
    wording.seconds,
    wording.signed_count,
    wording.size,
    wording.token,
)


def report_page(report: Report) -> bytes:
    """Return the page in UTF-8."""
    style, script = f"{markup.STYLE}\n{_asset('page.css')}", f"{markup.SCRIPT}\n{_asset('page.js')}"
    page = _environment().get_template("page.html.jinja")
    text = page.render(
        report=report,
        found=report.findings,
        stats=report.findings.stats,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        controls=markup.page_controls([entry.map for entry in report.samples]),
        histograms=_histograms(report),
        panels=rounds_panels(report.findings.rounds) if len(report.findings.rounds) > 1 else [],
        chart_height=HEIGHT,
    )
    return text.encode()


def _histograms(report: Report) -> dict[str, Histogram]:
    """Return the drawn distributions by name: of the influence, and of the method's number if that
    is another.
    """
    found, choice = report.findings, report.choice
    threshold = choice.threshold
    drawn = {}
    influence = influence_distribution(found.influence_bins, found.stats)
    if influence is not None:
        drawn["influence"] = histogram(influence, threshold if choice.is_influence else None)
    score = None if choice.is_influence else score_distribution(found.score_bins)
    if score is not None:
        drawn["score"] = histogram(score, threshold)
    return drawn


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {each.__name__: each for each in _FILTERS}
    environment.filters["visible"] = visible
    environment.filters["plain_json"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals |= {
        "map_fragment": markup.map_fragment,
        "diff_fragment": markup.diff_fragment,
    }
    return environment


def _policy(style: str, script: str) -> str:
    """Return the page's content security policy."""
    return (
        f"default-src 'none'; style-src {markup.content_hash(style)}; "
        f"script-src {markup.content_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")

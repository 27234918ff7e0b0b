"""Pages as HTML: everything is escaped, and a name that a template does not know is an error."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tokensieve.report import wording
from tokensieve.token_maps import markup
from tokensieve.visible_text import visible

_FILTERS = (wording.name, wording.nats, wording.number, wording.percent, wording.token, visible)


def page(
    request: Request, template: str, found: Mapping[str, Any], status: int = 200
) -> HTMLResponse:
    """Return a page; its style and script carry the nonce of this answer alone."""
    text = _ENVIRONMENT.get_template(f"{template}.html.jinja").render(
        nonce=request.state.nonce, path=request.url.path.rpartition("/")[2], **found
    )
    return HTMLResponse(text, status)


def link(page: str, **values: object) -> str:
    """Return the address of a page from any other, with what it asks for."""
    given = {name: value for name, value in values.items() if value is not None}
    return f"{page or './'}?{urlencode(given)}" if given else page or "./"


def _environment(style: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(__package__), PackageLoader("tokensieve.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {each.__name__: each for each in _FILTERS}
    environment.globals |= {
        "link": link,
        "style": Markup(style),
        "map_script": Markup(markup.SCRIPT),
        "page_controls": markup.page_controls,
        "map_fragment": markup.map_fragment,
        "diff_fragment": markup.diff_fragment,
    }
    return environment


def _asset(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


_ENVIRONMENT = _environment(
    "\n".join(
        [markup.STYLE, _asset("tokensieve.report", "page.css"), _asset(__package__, "page.css")]
    )
)

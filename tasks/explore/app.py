"""Which address is which page, and what becomes of errors."""

from collections.abc import Awaitable, Callable
from threading import Event
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sql.named_queries import find_query, named_queries
from sql.query import limited
from tasks.explore import finding
from tasks.explore.asked import Asked
from tasks.explore.finding import Found, Index
from tasks.explore.questions import MAX_ROWS, MAX_SECONDS, answer_question
from tasks.explore.rendering import page
from tasks.explore.waiting import Counter
from tokensieve.errors import (
    InputError,
    ResourceError,
    ServiceError,
    SettingsError,
    TokensieveError,
)
from tokensieve.storage import Storage

PAGE_SECONDS = 20.0
"""What finding a page may take."""
PAGES_AT_ONCE = 4
QUESTIONS_AT_ONCE = 2
"""Of people; each may take as much memory as `tokensieve sql`."""

_STATUS = {SettingsError: 400, InputError: 404, ResourceError: 503, ServiceError: 502}
_PAGES = {
    "": ("runs", finding.find_runs),
    "round": ("round", finding.find_round),
    "samples": ("samples", finding.find_samples),
    "tokens": ("tokens", finding.find_tokens),
    "token": ("token", finding.find_occurrences),
    "sample": ("sample", finding.find_sample),
}

Endpoint = Callable[[Request], Awaitable[Response]]


class Explorer:
    """The pages of one workspace."""

    def __init__(self, storage: Storage, root: str) -> None:
        """Take the workspace, and the path that all pages are below."""
        self._storage = storage
        self._pages, self._questions = Counter(PAGES_AT_ONCE), Counter(QUESTIONS_AT_ONCE)
        routes = [
            *(Route(f"/{path}", self._endpoint(*each)) for path, each in _PAGES.items()),
            Route("/query", self._query),
            Route("/query", self._answer, methods=["POST"]),
        ]
        self.app = Starlette(
            routes=[Mount(root, routes=routes)],
            exception_handlers={TokensieveError: self._failed, HTTPException: self._not_found},
        )

    def give_up(self) -> None:
        """End everything that is being asked."""
        self._pages.give_up()
        self._questions.give_up()

    def _endpoint(self, template: str, find: Callable[[Index, Asked], Found]) -> Endpoint:
        """Return what answers a request for a page."""

        async def answer(request: Request) -> Response:
            asked = Asked(dict(request.query_params))

            def look(given_up: Event) -> Found:
                with limited(self._storage, PAGE_SECONDS, given_up) as connection:
                    return find(Index(self._storage, connection), asked)

            return self._page(request, template, await self._pages.ask(request, look))

        return answer

    async def _query(self, request: Request) -> Response:
        """Return the box, with a query that has a name in it."""
        name = request.query_params.get("name")
        return self._box(request, find_query(name).statement if name else "")

    async def _answer(self, request: Request) -> Response:
        """Return the box with an answer, or with what is wrong with the question."""
        body = await request.body()
        fields = parse_qs(body.decode(errors="replace"))
        statement = fields.get("statement", [""])[-1].replace("\r\n", "\n")
        try:
            found = await self._questions.ask(
                request, lambda given_up: answer_question(self._storage, statement, given_up)
            )
        except TokensieveError as error:
            return self._box(request, statement, error=error)
        return self._box(request, statement, answer=found)

    def _box(
        self,
        request: Request,
        statement: str,
        error: TokensieveError | None = None,
        **found: object,
    ) -> Response:
        context: Found = {"statement": statement, "named": named_queries(), "error": error}
        context |= {"answer": None, "max_rows": MAX_ROWS, "max_seconds": MAX_SECONDS, **found}
        return self._page(request, "query", context, _status(error))

    async def _failed(self, request: Request, error: Exception) -> Response:
        """Return a page that says what is wrong."""
        template = "empty" if isinstance(error, InputError) else "error"
        return self._page(request, template, {"error": error}, _status(error))

    async def _not_found(self, request: Request, error: Exception) -> Response:
        """Return a page that says that there is none."""
        assert isinstance(error, HTTPException)
        return self._page(request, "error", {"error": error.detail}, error.status_code)

    def _page(self, request: Request, template: str, found: Found, status: int = 200) -> Response:
        answer = page(request, template, {"workspace": str(self._storage), **found}, status)
        if status == _STATUS[ResourceError]:
            answer.headers["Retry-After"] = "5"
        return answer


def _status(error: Exception | None) -> int:
    """Return the status of an answer: 200 if nothing is wrong."""
    if error is None:
        return 200
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)

"""Who is let in, and what a page may do.

The server listens on loopback, where every process and user of the machine, and every page in a
browser on it, can reach it. So a request has to name this machine (a page of another site whose
name was made to lead here names that site), to carry the token that only the terminal showed, and,
if it asks for more than a page, to come from one of ours.
"""

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "tokensieve"
MAX_BODY = 200_000
"""Bytes of a request."""
_HOSTS = ("127.0.0.1", "localhost")
_METHODS = ("GET", "HEAD", "POST")
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers hide where a POST comes from
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_WAY_IN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>tokensieve explore</title>
<meta http-equiv="refresh" content="0; url={root}/"><a href="{root}/">To the runs</a></html>
"""


class Guard:
    """Lets requests through to an application that have the token, and tightens every answer."""

    def __init__(self, app: ASGIApp, token: str, root: str) -> None:
        """Take the token, and the path that all pages are below: cookies do not know ports, so
        what other servers of this machine are sent is only kept apart by the path."""
        self._app, self._token, self._root = app, token, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        nonce = secrets.token_urlsafe(16)
        scope["state"] = {"nonce": nonce}

        async def send_tightened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({**_HEADERS, "Content-Security-Policy": _POLICY.format(nonce=nonce)})
            await send(message)

        answer = self._refusal(scope) or self._admission(scope) or self._app
        await answer(scope, receive, send_tightened)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return why the request is not let in, or None if the token is all that may be missing."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].partition(":")[0] not in _HOSTS:
            return _refused("This address is not one of this page. Use the one in the terminal.")
        if scope["method"] not in _METHODS:
            return _refused("Only GET, HEAD and POST are known here.", 405)
        if scope["method"] == "POST":
            return _refused_post(headers, hosts[0])
        return None

    def _admission(self, scope: Scope) -> Response | None:
        """Return a way in for who brings the token, None for who is in, else a refusal."""
        request = HTTPConnection(scope)
        given = request.query_params.get("token", "")
        if scope["path"] == f"{self._root}/" and self._is_token(given):
            return self._way_in()
        if self._is_token(request.cookies.get(COOKIE, "")):
            return None
        return _refused("Open the whole address that `tokensieve explore` printed.")

    def _way_in(self) -> Response:
        """Return a cookie for the token, and a page that leads on without it.

        A redirect would not do: where the address was a link of another site, browsers count what
        follows as that site's, and keep the cookie to themselves.
        """
        answer = HTMLResponse(_WAY_IN.format(root=self._root))
        answer.set_cookie(COOKIE, self._token, path=self._root, httponly=True, samesite="strict")
        return answer

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())


def _refused_post(headers: Headers, host: str) -> Response | None:
    """Return why a POST is refused, if it is."""
    if headers.getlist("origin") != [f"http://{host}"]:
        return _refused("This was not sent by a page of this server.")
    length = headers.get("content-length", "")
    if not (length.isdecimal() and len(length) < 10 and int(length) <= MAX_BODY):
        return _refused(f"Longer than {MAX_BODY:,} bytes, or of no length.", 413)
    return None


def _refused(reason: str, status: int = 403) -> Response:
    return PlainTextResponse(f"tokensieve: {reason}\n", status)

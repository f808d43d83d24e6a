"""`GET /` and its assets: the page, open to everyone, since all that it shows needs a key."""

from typing import Final

from aiohttp import web

from chronoprof_sidecar.server.dashboard.files import PAGE, Asset, read_assets

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Names of functions come from whoever may ingest: even if one of them became markup, it could load, run and send
nothing."""
_COMMON: Final = {
    # May be kept, and is asked about each time: a page and its modules are always of the same release.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "chronoprof-sidecar",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


async def get_page(request: web.Request) -> web.Response:
    """Serve the dashboard."""
    return _answer(request, read_assets()[PAGE])


async def get_asset(request: web.Request) -> web.Response:
    """Serve one of the files that the page is made of."""
    asset = read_assets().get(request.match_info["asset"])
    if asset is None:
        raise web.HTTPNotFound
    return _answer(request, asset)


def _answer(request: web.Request, asset: Asset) -> web.Response:
    headers = {**_COMMON, "ETag": asset.etag}
    if asset.etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = asset.content_type
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=asset.gzipped, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=asset.plain, headers=headers)

"""slixmpp's upload plugin sends with aiohttp, which is not installed everywhere: then the standard library does, in a thread."""

import asyncio
import importlib.util
import sys
import types
from http.client import HTTPConnection
from urllib.parse import urlsplit


class Response:
    def __init__(self, status, body):
        self.status = status
        self._body = body

    async def text(self):
        return self._body

    def close(self):
        pass


class ClientSession:
    def __init__(self, headers=None):
        self._headers = headers or {}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def put(self, url, data, headers, timeout):
        def send():
            parts = urlsplit(url)
            connection = HTTPConnection(parts.netloc, timeout=timeout)
            connection.request("PUT", f"{parts.path}?{parts.query}", body=data, headers={**self._headers, **headers})
            response = connection.getresponse()
            return Response(response.status, response.read().decode())

        return await asyncio.to_thread(send)


def provide_aiohttp():
    if importlib.util.find_spec("aiohttp") is None:
        module = types.ModuleType("aiohttp")
        module.ClientSession = ClientSession
        sys.modules["aiohttp"] = module

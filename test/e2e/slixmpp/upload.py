"""XEP-0363: slixmpp finds the service by itself, uploads a file, and another client reads it from the URL it is sent."""

import asyncio
import hashlib
import os
import tempfile
from urllib.request import Request, urlopen

import web

web.provide_aiohttp()

from slixmpp.exceptions import IqError

from common import WAIT, Client, run, say

CONTENT = bytes(range(256)) * 4_000 + "très cool".encode()


def read(url, **headers):
    with urlopen(Request(url, headers=headers), timeout=WAIT) as response:
        return response.status, response.headers, response.read()


async def main():
    alice = await Client("uma", "upload", plugins=["xep_0030", "xep_0363"]).online()
    bob = await Client("vera", "upload").online()
    upload = alice["xep_0363"]
    # Its own search (find_upload_service) gives coroutines to asyncio.wait, which Python 3.11 does not take any more.
    disco = alice["xep_0030"]
    items = await disco.get_items("localhost", timeout=WAIT)
    infos = [await disco.get_info(jid, timeout=WAIT) for jid, _, _ in items["disco_items"]["items"]]
    service = next(info for info in infos if "urn:xmpp:http:upload:0" in info["disco_info"]["features"])
    form = next(form for form in service["disco_info"].iterables if "max-file-size" in form.get_values())
    upload.upload_service = service["from"]
    say(service=str(service["from"]), largest=form.get_values()["max-file-size"])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "très cool.png")
        with open(path, "wb") as file:
            file.write(CONTENT)
        url = await upload.upload_file(path, timeout=WAIT)
    alice.send_message("vera@localhost", url, mtype="chat")
    received = await bob.message(url)
    status, headers, content = await asyncio.to_thread(read, received["body"])
    say(status=status, type=headers["content-type"], same=hashlib.sha256(content).digest() == hashlib.sha256(CONTENT).digest())
    status, headers, content = await asyncio.to_thread(read, url, Range="bytes=-9")
    say(status=status, range=headers["content-range"], end=content[-4:].decode())
    try:
        await upload.request_slot(service["from"], "big.bin", 10 * 1024 * 1024 * 1024, timeout=WAIT)
    except IqError as error:
        say(big=error.condition)
    for client in (alice, bob):
        await client.close()


run(main)

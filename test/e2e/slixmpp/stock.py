"""An untouched client: over TLS 1.3 it claims tls-unique for mechanism after mechanism, and must get in all the same."""

import asyncio
import json
import logging
import ssl
import sys

import slixmpp

logging.disable(logging.CRITICAL)
settings = json.loads(sys.argv[1])

client = slixmpp.ClientXMPP("alice@localhost/stock", "secret")
client.ssl_context.check_hostname = False
client.ssl_context.verify_mode = ssl.CERT_NONE
outcome = asyncio.get_event_loop().create_future()


def settle(text):
    if not outcome.done():
        outcome.set_result(text)


client.add_event_handler("session_start", lambda _: settle("session"))
client.add_event_handler("disconnected", lambda _: settle("disconnected"))
client.connect(("127.0.0.1", settings["c2sPort"]))
asyncio.get_event_loop().run_until_complete(asyncio.wait_for(outcome, 40))
print(json.dumps({"outcome": outcome.result()}), flush=True)
client.abort()

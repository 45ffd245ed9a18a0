"""XEP-0077 before login: the account is asked for, made, and logged in to, on one connection."""

import asyncio

from slixmpp.exceptions import IqError

from common import WAIT, Client, run, say


async def attempt(name, direct, username):
    client = Client(username, "first", plugins=["xep_0077"])
    # slixmpp keeps requests back until there is a session, this one too, unless it is told otherwise.
    client._always_send_everything = True
    found = {}

    async def register(form):
        found["asks"] = sorted(form["register"]["fields"])
        iq = client.Iq()
        iq["type"] = "set"
        iq["register"]["username"] = client.boundjid.user
        iq["register"]["password"] = client.password
        try:
            await iq.send(timeout=WAIT)
            found["made"] = True
        except IqError as error:
            found["made"] = error.condition
            client.disconnect()

    client.add_event_handler("register", register)
    outcome = await client.open(direct)
    say(name=name, outcome=outcome, **found)
    if outcome == "session":
        await client["xep_0077"].get_registration(timeout=WAIT)
    client.abort()


async def main():
    await attempt("starttls", False, "first.comer")
    await attempt("tls", True, "second.comer")
    await attempt("taken", True, "first.comer")


run(main)

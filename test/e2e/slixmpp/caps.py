"""XEP-0115: slixmpp checks the server's hash itself; the server asks a client once what its hash means."""

import asyncio

from common import WAIT, Client, run, say


async def until(condition):
    while not await condition():
        await asyncio.sleep(0.01)


async def main():
    plugins = ["xep_0030", "xep_0115", "xep_0199"]
    jane = await Client("jane", "desk", plugins=plugins).online()

    async def known():
        return await jane["xep_0115"].get_verstring("localhost") is not None

    # It keeps a hash only after what service discovery says has given the same one.
    await asyncio.wait_for(until(known), WAIT)
    server = await jane["xep_0115"].get_caps(jid="localhost")
    say(server=sorted(f for f in server["features"] if f in ("urn:xmpp:carbons:2", "http://jabber.org/protocol/caps", "urn:xmpp:caps")))

    async def asked_of(client, resource):
        questions = []

        def look(stanza):
            if stanza.name == "iq" and stanza["type"] == "get" and str(stanza["from"]) == "localhost":
                questions.append(stanza["disco_info"]["node"])
            return stanza

        client.add_filter("in", look)
        await client["xep_0115"].update_caps(broadcast=False)
        client.send_presence()
        await client.presence("available", str(client.boundjid))
        await client.caught_up()
        await client.caught_up()
        return [node.split("#")[1] == await client["xep_0115"].get_verstring() for node in questions]

    say(first=await asked_of(jane, "desk"))
    phone = await Client("jane", "phone", plugins=plugins).online()
    say(same_again=await asked_of(phone, "phone"))
    seen = await jane.receives("the phone's hash", lambda s: s.name == "presence" and s["from"] == phone.boundjid and s["caps"]["ver"])
    say(relayed=seen["caps"]["ver"] == await phone["xep_0115"].get_verstring())
    for client in (jane, phone):
        await client.close()


run(main)

"""XEP-0012 of users: for those who may see their presence, while they are here and when they have gone."""

from slixmpp.exceptions import IqError

from common import WAIT, Client, run, say


async def last(client, jid):
    try:
        answer = await client["xep_0012"].get_last_activity(jid, timeout=WAIT)
        return [0 <= answer["last_activity"]["seconds"] < 60, answer["last_activity"]["status"]]
    except IqError as error:
        return error.condition


async def main():
    plugins = ["xep_0012"]
    mona = await Client("mona", "desk", plugins=plugins).online()
    nick = await Client("nick", "desk", plugins=plugins).online()
    say(stranger=await last(mona, "nick@localhost"), nobody=await last(mona, "nobody@localhost"))
    mona.send_presence(pto="nick@localhost", ptype="subscribe")
    await nick.presence("subscribe", "mona@localhost")
    nick.send_presence(pto="mona@localhost", ptype="subscribed")
    await mona.presence("available", "nick@localhost")
    say(here=await last(mona, "nick@localhost"))
    await nick["xep_0012"].set_last_activity(seconds=7, status="Thinking")
    say(resource=await last(mona, str(nick.boundjid)))
    nick.send_presence(ptype="unavailable", pstatus="Gone fishing")
    await mona.presence("unavailable", "nick@localhost")
    await nick.close()
    say(gone=await last(mona, "nick@localhost"))
    await mona.close()


run(main)

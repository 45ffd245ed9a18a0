"""XEP-0313 and XEP-0441: a conversation is read back page by page, by contact and time, and archiving is turned off."""

from datetime import datetime, timedelta, timezone

from slixmpp import JID
from slixmpp.exceptions import IqError

from common import WAIT, Client, run, say

PLUGINS = ["xep_0030", "xep_0059", "xep_0297", "xep_0313", "xep_0441"]


def body(message):
    return message["mam_result"]["forwarded"]["stanza"]["body"]


async def main():
    alice = await Client("hana", "archive", plugins=PLUGINS).online()
    bob = await Client("ivan", "archive").online()
    for number in range(25):
        alice.send_message("ivan@localhost", f"number {number}", mtype="chat")
    await bob.message("number 24")
    bob.send_message("hana@localhost", "an answer", mtype="chat")
    await alice.message("an answer")
    alice.send_message("carol@localhost", "to carol", mtype="chat")
    await alice.caught_up()

    mam = alice["xep_0313"]
    info = await alice["xep_0030"].get_info("hana@localhost", timeout=WAIT)
    say(features=sorted(f for f in info["disco_info"]["features"] if f.startswith("urn:xmpp:mam:2")))
    say(fields=sorted((await mam.get_fields(timeout=WAIT)).get_fields()))
    everything = [body(m) async for m in mam.iterate(rsm={"max": 10})]
    say(everything=len(everything), first=everything[0], last=everything[-1])
    backwards = [body(m) async for m in mam.iterate(reverse=True, rsm={"max": 10}, total=3)]
    say(backwards=backwards)
    carol = await mam.retrieve(with_jid=JID("carol@localhost"), timeout=WAIT)
    say(carol=[body(m) for m in carol["mam"]["results"]])
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    none = await mam.retrieve(start=later, timeout=WAIT)
    say(later=[body(m) for m in none["mam"]["results"]])
    metadata = (await mam.get_archive_metadata(timeout=WAIT))["mam_metadata"]
    say(ends=int(metadata["start"]["id"]) < int(metadata["end"]["id"]))
    try:
        await mam.retrieve(jid=JID("ivan@localhost"), timeout=WAIT)
    except IqError as error:
        say(others=error.condition)

    policy = alice["xep_0441"]
    result = await policy.set_preferences(default="never", always=["ivan@localhost"], timeout=WAIT)
    say(default=result["mam_prefs"]["default"], always=sorted(str(j) for j in result["mam_prefs"]["always"]))
    alice.send_message("carol@localhost", "not archived", mtype="chat")
    alice.send_message("ivan@localhost", "archived", mtype="chat")
    await bob.message("archived")
    await alice.caught_up()
    say(last=[body(m) async for m in mam.iterate(reverse=True, rsm={"max": 2}, total=2)])
    for client in (alice, bob):
        await client.close()


run(main)

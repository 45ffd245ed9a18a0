"""Questions to the server and to accounts: XEPs 0030, 0012, 0049, 0054, 0092, 0199, 0202."""

from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0048 import Bookmarks

from common import WAIT, Client, run, say


async def main():
    plugins = ["xep_0012", "xep_0030", "xep_0048", "xep_0049", "xep_0054", "xep_0092", "xep_0199", "xep_0202"]
    alice = await Client("carol", "asking", plugins=plugins).online()

    info = await alice["xep_0030"].get_info("localhost", timeout=WAIT)
    say(identities=[list(i[:2]) for i in info["disco_info"]["identities"]], features=sorted(info["disco_info"]["features"]))
    items = await alice["xep_0030"].get_items("localhost", timeout=WAIT)
    say(items=len(items["disco_items"]["items"]))
    account = await alice["xep_0030"].get_info("carol@localhost", timeout=WAIT)
    say(account=[list(i[:2]) for i in account["disco_info"]["identities"]])

    say(ping=(await alice["xep_0199"].ping("localhost", timeout=WAIT)) < WAIT)
    version = await alice["xep_0092"].get_version("localhost")
    say(version=version["software_version"]["name"])
    time = await alice["xep_0202"].get_entity_time("localhost")
    say(time=time["entity_time"].xml.find("{urn:xmpp:time}utc").text[:2])
    uptime = await alice["xep_0012"].get_last_activity("localhost", timeout=WAIT)
    say(uptime=uptime["last_activity"]["seconds"] >= 0)

    card = alice["xep_0054"].make_vcard()
    card["FN"] = "Carol <C> & Co"
    card["NICKNAME"] = "caz"
    await alice["xep_0054"].publish_vcard(card, timeout=WAIT)
    read = await alice["xep_0054"].get_vcard("carol@localhost", local=False, timeout=WAIT)
    say(card=read["vcard_temp"]["FN"])

    marks = Bookmarks()
    marks.add_conference("room@rooms.example", "carol", autojoin=True)
    await alice["xep_0049"].store(marks)
    kept = await alice["xep_0049"].retrieve("bookmarks")
    say(private=[str(c["jid"]) for c in kept["private"]["bookmarks"]["conferences"]])

    try:
        await alice.make_iq_get(ito="localhost", queryxmlns="urn:nobody:knows").send(timeout=WAIT)
        say(unknown="answered")
    except IqError as error:
        say(unknown=error.condition)
    await alice.close()


run(main)

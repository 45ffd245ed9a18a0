"""XEP-0153: the hash of a vCard's picture is in the presence of each resource, also of one that knows nothing of it."""

import hashlib

from common import WAIT, Client, run, say

PICTURE = b"\x89PNG\r\n\x1a\n not much of a picture"


async def main():
    desk = await Client("quin", "desk", plugins=["xep_0054", "xep_0153"]).online()
    plain = await Client("quin", "plain").online()
    # The plugin changes a card that is there already.
    card = desk["xep_0054"].make_vcard()
    card["NICKNAME"] = "quin"
    await desk["xep_0054"].publish_vcard(card, timeout=WAIT)
    expected = hashlib.sha1(PICTURE).hexdigest()
    await desk["xep_0153"].set_avatar(avatar=PICTURE, mtype="image/png", timeout=WAIT)

    def photo(stanza):
        update = stanza.xml.find("{vcard-temp:x:update}x/{vcard-temp:x:update}photo")
        return None if update is None else update.text

    await plain.receives("the desk's hash", lambda s: s.name == "presence" and s["from"] == desk.boundjid and photo(s) == expected)
    plain.send_presence(pstatus="Here")
    await desk.receives("the other's hash", lambda s: s.name == "presence" and s["from"] == plain.boundjid and s["status"] == "Here" and photo(s) == expected)
    say(hash="in both")
    read = await desk["xep_0054"].get_vcard("quin@localhost", local=False, timeout=WAIT)
    say(picture=read["vcard_temp"]["PHOTO"]["BINVAL"] == PICTURE)
    for client in (desk, plain):
        await client.close()


run(main)

"""XEP-0359: each message bears an id of the recipient's account; one that pretends to be such an id is taken away."""

from common import Client, run, say


async def main():
    plugins = ["xep_0359"]
    kurt = await Client("kurt", "desk", plugins=plugins).online()
    lisa = await Client("lisa", "desk", plugins=plugins).online()
    ids = []
    for body in ("one", "two"):
        message = kurt.make_message("lisa@localhost", body, mtype="chat")
        message["origin_id"]["id"] = f"origin {body}"
        message["stanza_id"]["id"] = "forged"
        message["stanza_id"]["by"] = "lisa@localhost"
        message.send()
        received = await lisa.message(body)
        marks = received.xml.findall("{urn:xmpp:sid:0}stanza-id")
        ids.append(marks[0].get("id"))
        say(by=[mark.get("by") for mark in marks], forged="forged" in ids, origin=received["origin_id"]["id"])
    say(sorted=ids == sorted(ids), different=len(set(ids)))
    await kurt.close()
    await lisa.close()


run(main)

"""XEP-0334: what asks not to be stored is not kept for someone offline; what asks not to be copied makes no carbon."""

import asyncio

from common import WAIT, Client, run, say


def hinted(client, to, body, hint):
    message = client.make_message(to, body, mtype="chat")
    message.enable(hint)
    message.send()


async def main():
    olga = await Client("olga", "desk", plugins=["xep_0334"]).online()
    hinted(olga, "paul@localhost", "not to be kept", "no-store")
    olga.send_message("paul@localhost", "to be kept", mtype="chat")
    await olga.caught_up()
    desk = await Client("paul", "desk", plugins=["xep_0280"]).online()
    await desk.message("to be kept")
    await desk.caught_up()
    say(kept=[s["body"] for s in desk.stanzas if s.name == "message" and s["body"]])

    phone = await Client("paul", "phone", plugins=["xep_0280"]).online()
    copies = []
    # The one that is to come is sent last, so what is not to come would be there before it.
    copied = asyncio.get_running_loop().create_future()

    def take(message):
        copies.append(message["carbon_received"]["body"])
        if copies[-1] == "to be copied" and not copied.done():
            copied.set_result(True)

    phone.add_event_handler("carbon_received", take)
    await phone["xep_0280"].enable(timeout=WAIT)
    hinted(olga, desk.boundjid, "not to be copied", "no-copy")
    olga.send_message(desk.boundjid, "to be copied", mtype="chat")
    await desk.message("to be copied")
    await asyncio.wait_for(copied, WAIT)
    say(copies=copies, received=any(s["body"] == "not to be copied" for s in desk.stanzas if s.name == "message"))
    for client in (olga, desk, phone):
        await client.close()


run(main)

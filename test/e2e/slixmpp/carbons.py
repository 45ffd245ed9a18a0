"""XEP-0280: the other resources of both sides see a chat."""

import asyncio

from common import WAIT, Client, run, say


async def main():
    desk = await Client("gina", "desk", plugins=["xep_0280"]).online()
    phone = await Client("gina", "phone", plugins=["xep_0280"]).online()
    bob = await Client("erik", "talking").online()
    await desk["xep_0280"].enable(timeout=WAIT)
    await phone["xep_0280"].enable(timeout=WAIT)
    loop = asyncio.get_running_loop()
    sent, received = loop.create_future(), loop.create_future()
    phone.add_event_handler("carbon_sent", lambda m: sent.done() or sent.set_result(m["carbon_sent"]["body"]))
    phone.add_event_handler("carbon_received", lambda m: received.done() or received.set_result(m["carbon_received"]["body"]))
    desk.send_message("erik@localhost/talking", "from desk", mtype="chat")
    await bob.message("from desk")
    say(sent=await asyncio.wait_for(sent, WAIT))
    bob.send_message("gina@localhost/desk", "to desk", mtype="chat")
    await desk.message("to desk")
    say(received=await asyncio.wait_for(received, WAIT))
    for client in (desk, phone, bob):
        await client.close()


run(main)

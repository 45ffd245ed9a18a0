"""XEP-0198: a connection that broke is resumed, and what was missed is sent."""

import asyncio

from common import WAIT, Client, run, say


async def main():
    alice = Client("fred", "desk", plugins=["xep_0198"])
    enabled = asyncio.get_running_loop().create_future()
    alice.add_event_handler("sm_enabled", lambda _: enabled.done() or enabled.set_result(True))
    await alice.online()
    say(enabled=await asyncio.wait_for(enabled, WAIT))
    jid = str(alice.boundjid)
    gone = asyncio.get_running_loop().create_future()
    alice.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(True))
    alice.transport.abort()
    await asyncio.wait_for(gone, WAIT)
    bob = await Client("erik", "desk").online()
    bob.send_message(jid, "missed", mtype="chat")
    await bob.caught_up()
    say(again=await alice.open())
    await alice.message("missed")
    say(received="missed")
    await alice.caught_up()
    await alice.close()
    await bob.close()


run(main)

"""XEP-0191: who is blocked does not get through, and the other resources learn of it."""

import asyncio

from common import WAIT, Client, run, say


async def main():
    alice = await Client("dora", "desk", plugins=["xep_0191"]).online()
    phone = Client("dora", "phone", plugins=["xep_0191"])
    await phone.online()
    bob = await Client("erik", "desk").online()
    pushed = asyncio.get_running_loop().create_future()
    phone.add_event_handler("blocked", lambda iq: pushed.done() or pushed.set_result(sorted(map(str, iq["block"]["items"]))))
    await phone["xep_0191"].get_blocked(timeout=WAIT)
    await alice["xep_0191"].block(["erik@localhost"], timeout=WAIT)
    say(pushed=await asyncio.wait_for(pushed, WAIT))
    listed = await alice["xep_0191"].get_blocked(timeout=WAIT)
    say(blocked=sorted(map(str, listed["blocklist"]["items"])))
    bob.send_message("dora@localhost", "unwanted", mtype="chat")
    refusal = await bob.receives("the refusal", lambda s: s["type"] == "error")
    say(refused=refusal["error"]["condition"])
    await alice["xep_0191"].unblock(["erik@localhost"], timeout=WAIT)
    bob.send_message("dora@localhost/desk", "wanted", mtype="chat")
    await alice.message("wanted")
    say(unblocked=not any(s["body"] == "unwanted" for s in alice.stanzas if s.name == "message"))
    for client in (alice, phone, bob):
        await client.close()


run(main)

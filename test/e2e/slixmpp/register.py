"""XEP-0077 within a session: the password is changed, the account removed."""

import asyncio

from common import WAIT, Client, run, say


async def main():
    client = Client("newcomer", "first", plugins=["xep_0077"], config={"xep_0077": {"create_account": False}})
    say(login=await client.open())
    changed = await client["xep_0077"].change_password("second secret", jid="localhost", timeout=WAIT)
    say(changed=changed["type"])
    await client.close()
    old = Client("newcomer", "old")
    say(old=await old.open())
    old.abort()
    new = Client("newcomer", "new", password="second secret", plugins=["xep_0077"], config={"xep_0077": {"create_account": False}})
    say(new=await new.open())
    ended = asyncio.get_running_loop().create_future()
    new.add_event_handler("disconnected", lambda _: ended.done() or ended.set_result(True))
    iq = new.Iq()
    iq["type"] = "set"
    iq["register"]["remove"] = True
    iq.send(timeout=WAIT, callback=lambda _: None)
    say(removed=await asyncio.wait_for(ended, WAIT))
    gone = Client("newcomer", "gone", password="second secret")
    say(gone=await gone.open())
    gone.abort()


run(main)

"""Two at one full address: the newer wins, the older is told."""

import asyncio

from common import WAIT, Client, run, say


async def main():
    older = Client("alice", "same")
    told = asyncio.get_running_loop().create_future()
    older.add_event_handler("stream_error", lambda error: told.done() or told.set_result(error["condition"]))
    await older.open()
    newer = Client("alice", "same")
    outcome = await newer.open()
    say(newer=outcome, older=await asyncio.wait_for(told, WAIT))
    await newer.caught_up()
    say(newer="goes on")
    await newer.close()


run(main)

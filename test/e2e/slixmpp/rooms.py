"""XEP-0045: making, configuring, entering, talking, privileges, leaving, ending."""

import asyncio

from slixmpp.exceptions import IqError, PresenceError

from common import WAIT, Client, run, say

ROOM = "slix@conference.localhost"


async def main():
    oona = await Client("oona", "desk", plugins=["xep_0030", "xep_0045", "xep_0249"]).online()
    pete = await Client("pete", "desk", plugins=["xep_0030", "xep_0045", "xep_0249"]).online()
    rooms = oona["xep_0045"]
    theirs = pete["xep_0045"]

    own, *_ = await rooms.join_muc_wait(ROOM, "Oona", timeout=WAIT)
    say(created=201 in own["muc"]["status_codes"])
    form = await rooms.get_room_config(ROOM, timeout=WAIT)
    values = form.get_values()
    say(persistent=values["muc#roomconfig_persistentroom"], owners=values["muc#roomconfig_roomowners"])
    form["type"] = "submit"
    form.set_values({"muc#roomconfig_roomname": "Slix", "muc#roomconfig_persistentroom": True})
    await rooms.set_room_config(ROOM, form, timeout=WAIT)

    info = await pete["xep_0030"].get_info(jid=ROOM, timeout=WAIT)
    say(name=[i[3] for i in info["disco_info"]["identities"]], persistent="muc_persistent" in info["disco_info"]["features"])

    own, _, others, _ = await theirs.join_muc_wait(ROOM, "Pete", timeout=WAIT)
    say(own=own["from"].resource, occupants=[p["from"].resource for p in others])

    try:
        await theirs.join_muc_wait(ROOM, "Oona", timeout=WAIT)
    except PresenceError as error:
        say(nickname=error.condition)

    pete.send_message(ROOM, "hello all", mtype="groupchat")
    heard = await oona.message("hello all")
    say(heard=str(heard["from"]), kind=heard["type"])

    oona.send_message(f"{ROOM}/Pete", "in private", mtype="chat")
    private = await pete.message("in private")
    say(private=str(private["from"]))

    await rooms.set_affiliation(ROOM, "member", jid="pete@localhost", timeout=WAIT)
    say(members=[str(jid) for jid in await rooms.get_affiliation_list(ROOM, "member", timeout=WAIT)])
    await rooms.set_role(ROOM, "Pete", "moderator", timeout=WAIT)
    say(moderators=sorted(await rooms.get_roles_list(ROOM, "moderator", timeout=WAIT)))
    try:
        await theirs.destroy(ROOM, timeout=WAIT)
    except IqError as error:
        say(destroy=error.condition)

    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    pete.add_event_handler(
        f"muc::{ROOM}::self-presence",
        lambda p: p["type"] == "unavailable" and not gone.done() and gone.set_result(sorted(p["muc"]["status_codes"])),
    )
    await rooms.set_role(ROOM, "Pete", "none", reason="enough", timeout=WAIT)
    say(kicked=await asyncio.wait_for(gone, WAIT))
    await rooms.destroy(ROOM, reason="done", timeout=WAIT)
    try:
        await theirs.get_room_config(ROOM, timeout=WAIT)
    except IqError as error:
        say(after=error.condition)
    for client in (oona, pete):
        await client.close()


run(main)

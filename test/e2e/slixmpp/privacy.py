"""XEP-0016: a list that denies, as the active one and as the default; what is pushed and what is refused."""

import asyncio

from slixmpp.exceptions import IqError

from common import WAIT, Client, run, say


async def ask(client, method, *args):
    """The plugin hands an answer to a callback only, and an error too."""
    answer = asyncio.get_running_loop().create_future()
    getattr(client["xep_0016"], method)(*args, timeout=WAIT, callback=answer.set_result)
    iq = await asyncio.wait_for(answer, WAIT)
    if iq["type"] == "error":
        raise IqError(iq)
    return iq["privacy"]


async def edit(client, name, *rules):
    """The plugin's own edit_list builds such a request, and forgets to send it."""
    iq = client.Iq()
    iq["type"] = "set"
    iq["privacy"]["list"]["name"] = name
    for rule in rules:
        iq["privacy"]["list"].add_item(**rule)
    await iq.send(timeout=WAIT)


def names(privacy):
    return {
        "lists": sorted(item["name"] for item in privacy["lists"]),
        "active": privacy["active"]["name"],
        "default": privacy["default"]["name"],
    }


async def refused(sender, to, body):
    sender.send_message(to, body, mtype="chat")
    error = await sender.receives("the refusal", lambda s: s["type"] == "error")
    return error["error"]["condition"]


async def main():
    desk = await Client("hugo", "desk", plugins=["xep_0016"]).online()
    phone = Client("hugo", "phone", plugins=["xep_0016"])
    pushes = []
    phone.add_filter("in", lambda s: pushes.append(s["privacy"]["list"]["name"]) or s if s.name == "iq" and s["type"] == "set" else s)
    await phone.online()
    ida = await Client("ida", "desk").online()

    say(at_first=names(await ask(desk, "get_privacy_lists")))
    deny = {"itype": "jid", "value": "ida@localhost", "action": "deny", "order": "1", "message": True}
    await edit(desk, "quiet", deny, {"value": "", "action": "allow", "order": "2"})
    await phone.caught_up()
    say(pushed=pushes)
    kept = await ask(desk, "get_list", "quiet")
    say(items=[[i["type"], i["value"], i["action"], i["order"], i["message"]] for i in kept["list"]["items"]])
    await ask(desk, "activate", "quiet")
    say(chosen=names(await ask(desk, "get_privacy_lists")))

    say(active=await refused(ida, desk.boundjid, "unwanted"))
    ida.send_message(phone.boundjid, "to the phone", mtype="chat")
    await phone.message("to the phone")
    say(phone="has no active list")

    await ask(desk, "deactivate")
    await ask(desk, "make_default", "quiet")
    say(default=await refused(ida, "hugo@localhost", "unwanted again"))
    try:
        await ask(desk, "activate", "no such list")
    except IqError as error:
        say(unknown=error.condition)
    try:
        await ask(desk, "remove_list", "quiet")
    except IqError as error:
        say(in_use=error.condition)
    try:
        await ask(phone, "remove_default")
    except IqError as error:
        say(needed_by_desk=error.condition)
    await phone.close()
    await ask(desk, "remove_default")
    await ask(desk, "remove_list", "quiet")
    ida.send_message(desk.boundjid, "wanted", mtype="chat")
    await desk.message("wanted")
    say(unwanted=[s["body"] for s in desk.stanzas + phone.stanzas if s.name == "message" and "unwanted" in s["body"]])
    for client in (desk, ida):
        await client.close()


run(main)

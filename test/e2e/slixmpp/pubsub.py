"""Publish-subscribe: XEP-0060 on the service, and personal nodes by XEPs 0163, 0084, 0118 and 0223."""

import asyncio

from slixmpp.exceptions import IqError

from common import WAIT, Client, run, say

SERVICE = "pubsub.localhost"
PLUGINS = ["xep_0004", "xep_0030", "xep_0060", "xep_0115", "xep_0163", "xep_0084", "xep_0118", "xep_0223"]


def expecting(client, event):
    """A future of the next event of that name."""
    future = asyncio.get_running_loop().create_future()

    def settle(stanza):
        if not future.done():
            future.set_result(stanza)

    client.add_event_handler(event, settle, disposable=True)
    return asyncio.wait_for(future, WAIT)


def item(message):
    return message["pubsub_event"]["items"]["item"]


async def refused(request):
    try:
        await request
    except IqError as error:
        return error.condition
    return None


def note(text):
    from xml.etree import ElementTree

    element = ElementTree.Element("{urn:example:note}note")
    element.text = text
    return element


async def main():
    sara = await Client("sara", "desk", plugins=PLUGINS).online()
    theo = Client("theo", "desk", plugins=PLUGINS)
    await theo.online()
    sara.send_presence_subscription("theo@localhost")
    await theo.presence("subscribe", "sara@localhost")
    theo.send_presence(pto="sara@localhost", ptype="subscribed")
    await sara.presence("available", "theo@localhost/desk")
    theo.send_presence_subscription("sara@localhost")
    await sara.presence("subscribe", "theo@localhost")
    sara.send_presence(pto="theo@localhost", ptype="subscribed")
    await theo.presence("available", "sara@localhost/desk")
    # What it wants stands in its capabilities, which it may have worked out after its first presence.
    await theo["xep_0115"].update_caps(broadcast=False)
    theo.send_presence()
    await theo.caught_up()

    account = await sara["xep_0030"].get_info("sara@localhost", timeout=WAIT)
    identities = [list(i[:2]) for i in account["disco_info"]["identities"]]
    say(account=["pubsub", "pep"] in identities)

    tune = expecting(theo, "user_tune_publish")
    await sara["xep_0118"].publish_tune(title="The Song", timeout=WAIT)
    heard = await tune
    say(tune=item(heard)["tune"]["title"], sender=str(heard["from"]))

    picture = b"\x89PNG not really" * 100
    options = sara["xep_0004"].make_form(ftype="submit")
    options.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    options.add_field(var="pubsub#access_model", value="open")
    shown = expecting(theo, "avatar_metadata_publish")
    await sara["xep_0084"].publish_avatar(picture, options=options, timeout=WAIT)
    hash_ = sara["xep_0084"].generate_id(picture)
    info = {"id": hash_, "type": "image/png", "bytes": len(picture)}
    await sara["xep_0084"].publish_avatar_metadata([info], timeout=WAIT)
    metadata = item(await shown)["avatar_metadata"]
    say(avatar=[i["id"] for i in metadata["items"]] == [hash_])
    read = await theo["xep_0084"].retrieve_avatar("sara@localhost", hash_, timeout=WAIT)
    say(picture=read["pubsub"]["items"]["item"]["avatar_data"]["value"] == picture)

    from slixmpp.plugins.xep_0118.stanza import UserTune

    secret = UserTune()
    secret["title"] = "mine alone"
    await sara["xep_0223"].store(secret, node="urn:example:private", id="current", timeout=WAIT)
    kept = await sara["xep_0223"].retrieve("urn:example:private", timeout=WAIT)
    say(private=len(kept["pubsub"]["items"]))
    say(closed=await refused(theo["xep_0060"].get_items("sara@localhost", "urn:example:private", timeout=WAIT)))

    pubsub = sara["xep_0060"]
    await pubsub.create_node(SERVICE, "news", timeout=WAIT)
    say(taken=await refused(theo["xep_0060"].create_node(SERVICE, "news", timeout=WAIT)))
    answer = await theo["xep_0060"].subscribe(SERVICE, "news", timeout=WAIT)
    say(subscription=answer["pubsub"]["subscription"]["subscription"])
    event = expecting(theo, "pubsub_publish")
    await pubsub.publish(SERVICE, "news", id="one", payload=note("first"), timeout=WAIT)
    message = await event
    say(event=item(message)["id"], payload=item(message)["payload"].text, sender=str(message["from"]))
    say(forbidden=await refused(theo["xep_0060"].publish(SERVICE, "news", id="x", payload=note("no"), timeout=WAIT)))
    got = await theo["xep_0060"].get_items(SERVICE, "news", timeout=WAIT)
    say(items=[i["id"] for i in got["pubsub"]["items"]])
    config = await pubsub.get_node_config(SERVICE, "news", timeout=WAIT)
    form = config["pubsub_owner"]["configure"]["form"]
    say(access=form.get_fields()["pubsub#access_model"]["value"])
    event = expecting(theo, "pubsub_retract")
    await pubsub.retract(SERVICE, "news", "one", notify=True, timeout=WAIT)
    await event
    say(retracted=True)
    event = expecting(theo, "pubsub_delete")
    await pubsub.delete_node(SERVICE, "news", timeout=WAIT)
    await event
    say(deleted=await refused(theo["xep_0060"].get_items(SERVICE, "news", timeout=WAIT)))

    # Who comes later gets the last items.
    late = Client("theo", "later", plugins=PLUGINS)
    tune = expecting(late, "user_tune_publish")
    await late.online()
    await late["xep_0115"].update_caps(broadcast=False)
    late.send_presence()
    say(last=item(await tune)["tune"]["title"])
    for client in (sara, theo, late):
        await client.close()


run(main)

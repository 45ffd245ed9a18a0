"""The way of a subscription, from asking to removal; messages; what waits for who is away."""

from common import WAIT, Client, run, say


def subscription(client, jid):
    return client.client_roster[jid]["subscription"]


def update(kind):
    return lambda s: s.name == "iq" and any(item["subscription"] == kind for item in s["roster"]["items"].values())


async def whole(client):
    """The roster without a version, so that it is sent whatever the client knows."""
    iq = client.make_iq_get(queryxmlns="jabber:iq:roster")
    return (await iq.send(timeout=WAIT))["roster"]["items"]


async def main():
    alice = await Client("alice", "desk").online()
    bob = await Client("bob", "desk").online()

    alice.send_presence_subscription("bob@localhost")
    await bob.presence("subscribe", "alice@localhost")
    bob.send_presence(pto="alice@localhost", ptype="subscribed")
    await alice.presence("subscribed", "bob@localhost")
    await alice.presence("available", "bob@localhost/desk")
    await alice.receives("the roster push", update("to"))
    say(alice=subscription(alice, "bob@localhost"))
    await bob.receives("the roster push", update("from"))
    say(bob=subscription(bob, "alice@localhost"))

    bob.send_presence_subscription("alice@localhost")
    await alice.presence("subscribe", "bob@localhost")
    alice.send_presence(pto="bob@localhost", ptype="subscribed")
    await bob.presence("subscribed", "alice@localhost")
    await alice.receives("the roster push", update("both"))
    await bob.receives("the roster push", update("both"))
    say(alice=subscription(alice, "bob@localhost"), bob=subscription(bob, "alice@localhost"))

    alice.send_message("bob@localhost", "hello", mtype="chat")
    said = await bob.message("hello")
    say(message=str(said["from"]))

    await bob.close()
    await alice.presence("unavailable", "bob@localhost/desk")
    alice.send_message("bob@localhost", "for later", mtype="chat")
    await alice.caught_up()
    bob = Client("bob", "back", plugins=["xep_0203"])
    await bob.online()
    late = await bob.message("for later")
    say(delayed=late["delay"]["stamp"] is not None, by=str(late["delay"]["from"]))

    await alice.update_roster("bob@localhost", name="Bob", groups=["Friends"])
    item = next(iter((await whole(alice)).values()))
    say(name=item["name"], groups=item["groups"])

    await alice.del_roster_item("bob@localhost")
    await bob.presence("unsubscribed", "alice@localhost")
    say(removed=list(map(str, await whole(alice))), bob=subscription(bob, "alice@localhost"))
    await alice.close()
    await bob.close()


run(main)

"""RFC 6121 section 2.6: who knows the roster's version is sent a roster only when it has changed since."""

from common import WAIT, Client, run, say


async def main():
    first = await Client("rita", "desk").online()
    first.update_roster("sam@localhost", name="Sam", groups=["Friends"])
    await first.receives("the push", lambda s: s.name == "iq" and s["type"] == "set" and s["roster"]["items"])
    version = first.client_roster.version
    say(offered="rosterver" in first.features, version=bool(version))
    await first.close()

    async def again(changed):
        client = Client("rita", "again")
        assert await client.open() == "session"
        iq = client.Iq()
        iq["type"] = "get"
        iq["roster"]["ver"] = version
        reply = await iq.send(timeout=WAIT)
        sent = reply.xml.find("{jabber:iq:roster}query")
        say(changed=changed, sent=None if sent is None else sorted(item.get("jid") for item in sent))
        return client

    await (await again("nothing")).close()
    other = await Client("rita", "other").online()
    other.update_roster("tom@localhost", name="Tom")
    await other.receives("the push", lambda s: s.name == "iq" and s["type"] == "set" and s["roster"]["items"])
    await other.close()
    await (await again("tom")).close()


run(main)

"""What the scripts share: a client of the server under test, and one JSON line per finding on standard output."""

import asyncio
import json
import logging
import ssl
import sys

import slixmpp

logging.disable(logging.CRITICAL)

SETTINGS = json.loads(sys.argv[1])
WAIT = 20


def say(**finding):
    print(json.dumps(finding), flush=True)


class Client(slixmpp.ClientXMPP):
    """Takes any certificate, keeps every message and presence, and never connects again by itself."""

    def __init__(self, username, resource, password="secret", mechanism="SCRAM-SHA-256", plugins=(), config=None):
        jid = f"{username}@localhost/{resource}"
        super().__init__(jid, password, sasl_mech=mechanism, plugin_config=config or {})
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self.auto_authorize = None
        self.auto_subscribe = False
        for plugin in plugins:
            self.register_plugin(plugin)
        self.bind_to(lambda: b"")
        self.stanzas = []
        self.waiting = []
        self.add_event_handler("message", self._keep)
        self.add_event_handler("message_error", self._keep)
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "available", "unavailable"):
            self.add_event_handler("presence_" + kind, self._keep)
        self.add_event_handler("roster_update", self._keep)

    def bind_to(self, data):
        """
        What the channel is bound to. slixmpp offers tls-unique even over TLS 1.3, which has none, and then says that the
        server knows no binding; RFC 5802 section 6 has the server refuse that, so it is told that there is none.
        """
        mechanisms = self["feature_mechanisms"]
        credentials = mechanisms._default_credentials
        mechanisms.sasl_callback = lambda required, optional: {
            **credentials(required, optional - {"channel_binding"}),
            "channel_binding": data(),
        }

    def _keep(self, stanza):
        for entry in list(self.waiting):
            fits, future = entry
            if not future.done() and fits(stanza):
                future.set_result(stanza)
                self.waiting.remove(entry)
                return
        self.stanzas.append(stanza)

    async def receives(self, what, fits):
        for stanza in self.stanzas:
            if fits(stanza):
                self.stanzas.remove(stanza)
                return stanza
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((fits, future))
        try:
            return await asyncio.wait_for(future, WAIT)
        except asyncio.TimeoutError:
            raise AssertionError(f"{what} did not come; there are: {[str(s) for s in self.stanzas]}")

    def message(self, body):
        return self.receives(f"the message {body!r}", lambda s: s.name == "message" and s["body"] == body)

    def presence(self, kind, sender):
        return self.receives(
            f"presence {kind} of {sender}",
            lambda s: s.name == "presence" and s["type"] == kind and str(s["from"]).startswith(sender),
        )

    async def open(self, direct=True):
        """Logs in; returns "session" or why that failed."""
        loop = asyncio.get_running_loop()
        result = loop.create_future()

        def settle(outcome):
            if not result.done():
                result.set_result(outcome)

        self.add_event_handler("session_start", lambda _: settle("session"))
        self.add_event_handler("session_resumed", lambda _: settle("resumed"))
        self.add_event_handler("failed_all_auth", lambda _: settle("refused"))
        self.add_event_handler("disconnected", lambda _: settle("disconnected"))
        port = SETTINGS["tlsPort"] if direct else SETTINGS["c2sPort"]
        self.connect(("127.0.0.1", port), use_ssl=direct, force_starttls=not direct, disable_starttls=direct)
        return await asyncio.wait_for(result, WAIT)

    async def online(self):
        outcome = await self.open()
        assert outcome == "session", outcome
        await asyncio.wait_for(self.get_roster(), WAIT)
        self.send_presence()
        await self.presence("available", str(self.boundjid))
        return self

    async def caught_up(self):
        """What was sent before has been dealt with."""
        iq = self.make_iq_get(ito="localhost", queryxmlns="http://jabber.org/protocol/disco#info")
        await iq.send(timeout=WAIT)

    async def close(self):
        await asyncio.wait_for(self.disconnect(wait=1.0), WAIT)


def run(main):
    async def bounded():
        await asyncio.wait_for(main(), 50)

    asyncio.run(bounded())

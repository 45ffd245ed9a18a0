"""Logging in by each mechanism over STARTTLS and direct TLS, and what must fail."""

import hashlib

from slixmpp.util.sasl.mechanisms import SCRAM

from common import Client, run, say

plain_process = SCRAM.process_1


def process_with_end_point(self, challenge):
    """slixmpp knows tls-unique only, which TLS 1.3 has no more; the certificate binds instead."""
    first = plain_process(self, challenge)
    if self.use_channel_binding:
        self.gs2_header = self.gs2_header.replace(b"p=tls-unique", b"p=tls-server-end-point")
        first = self.gs2_header + self.client_first_message_bare
        self.client_first_message = first
    return first


SCRAM.process_1 = process_with_end_point


def bind_to_certificate(client, forged):
    def data():
        return hashlib.sha256(b"other" if forged else client.socket.getpeercert(binary_form=True)).digest()

    client.bind_to(data)


async def attempt(name, direct, mechanism, password="secret", username="alice", forged=False):
    client = Client(username, "login", password=password, mechanism=mechanism)
    if mechanism.endswith("-PLUS"):
        bind_to_certificate(client, forged)
    chosen = []
    client.add_event_handler("auth_success", lambda _: chosen.append(client["feature_mechanisms"].mech.name))
    outcome = await client.open(direct)
    say(name=name, transport="tls" if direct else "starttls", outcome=outcome, mechanism=chosen[0] if chosen else None, jid=str(client.boundjid))
    client.abort()


async def main():
    for direct in (False, True):
        for mechanism in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"):
            await attempt(mechanism, direct, mechanism)
    await attempt("forged binding", True, "SCRAM-SHA-256-PLUS", forged=True)
    await attempt("wrong password", True, "SCRAM-SHA-256", password="guess")
    await attempt("nobody", True, "SCRAM-SHA-256", username="nobody")


run(main)

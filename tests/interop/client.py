"""A Guild client made from the schema alone. It pins the master's key in TLS, and then reads builds, a log and events, and
submits a change.

    client.py redeem JOIN.cap KEY.pem CERT.pem TOKEN_FILE     run this once: binds the grant to this key
    client.py tour   JOIN.cap KEY.pem CERT.pem TOKEN_FILE PROJECT
"""
import asyncio
import base64
import hashlib
import os
import re
import socket
import ssl
import sys

import capnp
from cryptography import x509
from cryptography.hazmat.primitives import serialization

capnp.remove_import_hook()
SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../schema/guild")
gateway = capnp.load(os.path.join(SCHEMA, "gateway.capnp"))
perspective = capnp.load(os.path.join(SCHEMA, "perspective.capnp"))
event = capnp.load(os.path.join(SCHEMA, "event.capnp"))


class SturdyRef:
    """A credential, written as capnp://sha-256:FPR@host:port/TOKEN."""

    def __init__(self, path):
        lines = [line.strip() for line in open(path) if line.strip() and not line.startswith("#")]
        match = re.fullmatch(r"capnp://sha-256:([\w-]+)@([^:/]+):(\d+)/([\w-]+)", lines[0])
        self.fingerprint, self.host, self.port, token = match.group(1), match.group(2), int(match.group(3)), match.group(4)
        self.token = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def fingerprint(certificate_der):
    """Returns the SHA-256 of the SubjectPublicKeyInfo, in base64url without padding."""
    key = x509.load_der_x509_certificate(certificate_der).public_key()
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(info).digest()).decode().rstrip("=")


def pinned(reference, key, certificate):
    """Returns a TLS context that trusts only the certificate whose key the sturdy ref names."""
    look = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    look.check_hostname, look.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((reference.host, reference.port)) as raw, look.wrap_socket(raw) as tls:
        found = tls.getpeercert(binary_form=True)
    if fingerprint(found) != reference.fingerprint:
        raise SystemExit("the master shows another key than the credential names")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(found))
    context.load_cert_chain(certificate, key)
    return context


async def connect(reference, key, certificate):
    context = pinned(reference, key, certificate)
    stream = await capnp.AsyncIoStream.create_connection(
        host=reference.host, port=reference.port, ssl=context, server_hostname="guild"
    )
    client = capnp.TwoPartyClient(stream)
    return client, client.bootstrap().cast_as(gateway.Gateway)


def done(answer):
    """Returns an answer, and fails if the answer has a refusal."""
    if answer._has("refusal"):
        raise RuntimeError(f"refused: {answer.refusal.code}: {answer.refusal.text}")
    return answer


class Observer(event.Observer.Server):
    """An object of this client, which the master calls."""

    def __init__(self):
        self.seen = []
        self.finished = asyncio.Event()

    async def observe(self, events, cursor, **_):
        for one in events:
            self.seen.append((one.sequence, one.which()))
            if one.which() == "buildFinished":
                self.finished.set()

    async def gap(self, first, last, cursor, **_):
        raise RuntimeError(f"events {first} to {last} are gone")


async def restore(gate, token):
    answer = done(await gate.restore(token, {"min": 1, "max": 1}))
    return answer.capability.as_interface(perspective.Perspective)


async def follow(reader):
    """Reads a log by offset until its end."""
    text, offset, sealed = b"", 0, False
    while not sealed:
        await reader.wait(offset)
        chunk = await reader.read(offset, 65536)
        text, offset, sealed = text + chunk.bytes, offset + len(chunk.bytes), chunk.sealed
    return text


async def tour(reference, key, certificate, token, project):
    client, gate = await connect(reference, key, certificate)
    try:
        await restore(gate, os.urandom(32))
        raise SystemExit("a made-up token was accepted")
    except RuntimeError as refusal:
        print("a made-up token:", refusal)
    mine = await restore(gate, token)
    who = (await mine.whoami()).grant
    print("grant", who.id, "of", who.name, "may", list(who.what.may))

    viewer = (await mine.viewer()).viewer
    builds = (await viewer.builds(project, "", 0, 10, "")).builds
    print("builds", [(build.project, build.number, str(build.outcome)) for build in builds])
    assert len(builds) >= 1

    # one round trip: viewer -> build -> log, each on the promise of the one before
    reader = mine.viewer().viewer.build(project, builds[-1].number).build.log("greet", 0, 1).reader
    text = await follow(reader)
    print("log", text)
    assert text == b"hello from guild\n"

    # the newest build is good, so nobody is a suspect
    ranges = done(await viewer.suspects(project, "", builds[0].number, "", 0)).ranges
    print("red ranges", [(list(one.jobs), one.kind, [who.author for who in one.suspects]) for one in ranges])
    assert (len(ranges) > 0) == (str(builds[0].outcome) == "failed")

    source = (await mine.events()).source
    cursor = (await source.latest()).cursor
    observer = Observer()
    subscription = done(await source.subscribe({"projects": [project]}, cursor, observer)).subscription
    sink = (await mine.changes()).sink
    submitted = done(await sink.submit(os.urandom(16), project, "refs/heads/main"))
    print("submitted a change: build", submitted.build)
    await asyncio.wait_for(observer.finished.wait(), 60)
    numbers = [sequence for sequence, _ in observer.seen]
    assert numbers == sorted(set(numbers)), numbers
    print("observed", [kind for _, kind in observer.seen])
    del subscription

    # a project that the grant does not name counts as missing
    operator = await mine.operator()
    submitter = await mine.submitter()
    for name, part, call in (
        ("operator", operator.operator, lambda part: part.grants()),
        ("submitter", submitter.submitter, lambda part: part.run(os.urandom(16), project, "main", "")),
    ):
        try:
            await call(part)
            raise SystemExit(f"{name} answered although the grant does not name it")
        except capnp.KjException as error:
            print(name, "is refused:", str(error).splitlines()[0][:100])
    print("python client: all seen")


async def redeem(reference, key, certificate, token):
    _, gate = await connect(reference, key, certificate)
    answer = done(await gate.redeem(reference.token, token))
    print("redeemed grant", answer.grant, "of", answer.name, "kind", answer.kind)


def main():
    verb, cap, key, certificate, token_file = sys.argv[1:6]
    reference = SturdyRef(cap)
    if verb == "redeem":
        token = os.urandom(32)
        with open(token_file, "wb") as file:
            file.write(token)
        asyncio.run(capnp.run(redeem(reference, key, certificate, token)))
    else:
        token = open(token_file, "rb").read()
        asyncio.run(capnp.run(tour(reference, key, certificate, token, sys.argv[6])))


main()

"""Whose signatures count: the signing keys of the generations, each handed over by the one before it.

A key counts only by its chain from the store's id. Whoever knows the key of a generation takes no other for it; against
a known handover another one makes a slot void, even where the key before it signed it. A newcomer knows none yet: it
takes a later generation's word until it has the chain, which the state that it starts from holds.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.hashing import sha256
from artifactstore.crypto.signing import verify
from artifactstore.format.record import Certificate, Clear, handover_message

_REJECTED_MAX: Final = 64


class Signers:
    """The signing keys of one store, as far as they are known.

    Args:
        store_id: SHA-256 of the first one.
        recall: Gives the certificate of a generation that the client's index knows.
        rejected: Public keys whose word is not taken.
        remembered: Certificates that this client knew in an earlier generation: the chain must go through them.

    Attributes:
        store_id: The store's id.
        rejected: Public keys whose word is not taken.
    """

    def __init__(
        self,
        store_id: bytes,
        recall: Callable[[int], Certificate | None] = lambda _: None,
        rejected: Iterable[bytes] = (),
        remembered: Mapping[int, Certificate] | None = None,
    ) -> None:
        self.store_id = store_id
        self.rejected = set(rejected)
        self._remembered = dict(remembered or {})
        self._recall = recall
        self._known: dict[int, Certificate] = {}

    def certificate(self, generation: int) -> Certificate | None:
        """The certificate of a generation's key, None where it is not known."""
        found = self._known.get(generation)
        if found is None:
            found = self._recall(generation)
            if found is not None:
                self._known[generation] = found
        return found

    @property
    def known(self) -> dict[int, Certificate]:
        """The certificates that were asked for or learned so far, and those remembered."""
        return {**self._remembered, **self._known}

    def contradict_memory(self) -> bool:
        """Whether the chain that is known now leads past a key that this client knew before."""
        return any(self.certificate(at) != certificate for at, certificate in self._remembered.items())

    def learn(self, generation: int, certificate: Certificate) -> None:
        """Take a certificate that was accepted as that of its generation; one that is known stays."""
        self._known.setdefault(generation, certificate)

    def learn_from(self, clear: Clear) -> None:
        """Take the certificates in a record that was verified in its place."""
        self.learn(clear.signer, clear.certificate)
        if clear.handover is not None:
            self.learn(clear.generation, handed_over(clear))

    def reject(self, public: bytes) -> bool:
        """Take a key's word no more; return whether that may change anything."""
        fresh = public not in self.rejected and len(self.rejected) < _REJECTED_MAX
        self.rejected.add(public)
        return fresh

    def accepts(self, clear: Clear) -> bool:
        """Whether the key that a record claims to be signed by is the store's, and hands over as a sweep does."""
        if not self._vouched(clear.signer, clear.certificate):
            return False
        handover = clear.handover
        if handover is None:
            return True
        return follows(
            clear.certificate.public,
            clear.generation,
            Certificate(handover.public, clear.slot, handover.signature),
            self.store_id,
        )

    def _vouched(self, generation: int, certificate: Certificate) -> bool:
        if generation == 0:
            return is_first(certificate, self.store_id)
        if certificate.public in self.rejected:
            return False
        known = self.certificate(generation)
        if known is not None:
            return known == certificate
        before = self.certificate(generation - 1)
        if before is not None:
            return follows(before.public, generation, certificate, self.store_id)
        return self.certificate(0) is None


def is_first(certificate: Certificate, store_id: bytes) -> bool:
    """Whether a certificate is that of the key with which the store was made."""
    return sha256(certificate.public) == store_id and certificate.slot == 0 and not certificate.signature


def follows(before: bytes, generation: int, certificate: Certificate, store_id: bytes) -> bool:
    """Whether the key before a generation handed over to it by this certificate."""
    message = handover_message(store_id, generation, certificate.slot, certificate.public)
    try:
        verify(before, certificate.signature, message)
    except SealBroken:
        return False
    return True


def is_chain(certificates: Iterable[Certificate], store_id: bytes) -> bool:
    """Whether certificates of the generations from 0 on each follow the one before."""
    before: Certificate | None = None
    for generation, certificate in enumerate(certificates):
        good = (
            is_first(certificate, store_id)
            if before is None
            else follows(before.public, generation, certificate, store_id)
        )
        if not good:
            return False
        before = certificate
    return before is not None


def handed_over(clear: Clear) -> Certificate:
    """The certificate of the key that a sweep hands over to."""
    assert clear.handover is not None
    return Certificate(clear.handover.public, clear.slot, clear.handover.signature)

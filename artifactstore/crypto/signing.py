"""Ed25519 signatures."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from artifactstore.clock import Randomness
from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.suite import KEY_SIZE_BYTES


class SigningKey:
    """An Ed25519 private key. Thread-safe.

    Attributes:
        public_bytes: The 32 bytes that verify what this key signs.
        private_bytes: The 32 bytes that `from_bytes` takes.
    """

    __slots__ = ("_key", "private_bytes", "public_bytes")

    def __init__(self, private: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.private_bytes = private
        self.public_bytes = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, randomness: Randomness) -> "SigningKey":
        """Make a new key."""
        return cls(randomness.token(KEY_SIZE_BYTES))

    @classmethod
    def from_bytes(cls, private: bytes) -> "SigningKey":
        """Take a key from its 32 bytes.

        Raises:
            ValueError: There are not 32 of them.
        """
        return cls(private)

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`, 64 bytes; the same for the same message."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public_bytes.hex()})"


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Return if `signature` is `message` signed by the key of `public`.

    Raises:
        SealBroken: It is not, or `public` is no key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise SealBroken("the signature does not verify") from None

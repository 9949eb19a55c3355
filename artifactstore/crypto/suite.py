"""The cryptographic suite and the sizes it fixes.

Suite 1 is AES-256-GCM, BLAKE3, SHA-256, Ed25519 and X25519. The suite byte stands in every object and in
everything that is authenticated, so that another suite can never be mistaken for this one.
"""

SUITE = 1

KEY_SIZE_BYTES = 32
NONCE_SIZE_BYTES = 12
TAG_SIZE_BYTES = 16
SALT_SIZE_BYTES = 32
DIGEST_SIZE_BYTES = 32
PUBLIC_KEY_SIZE_BYTES = 32
SIGNATURE_SIZE_BYTES = 64
HPKE_OVERHEAD_BYTES = PUBLIC_KEY_SIZE_BYTES + TAG_SIZE_BYTES

NONCE_COUNT_MAX = 2 ** (8 * NONCE_SIZE_BYTES) - 1

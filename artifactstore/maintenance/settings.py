"""What a collection goes by unless it is told otherwise: ages and shares, in one place."""

from typing import Final

# A pack of which a larger share is garbage is rewritten.
THRESHOLD_DEFAULT: Final = 0.5
# A push that has not gone on for so long, and an object that no record names and that is so old, are given up.
EXPIRY_MS_DEFAULT: Final = 7 * 24 * 3600 * 1000

"""Every bound and constant of format v1; readers check each before they allocate.

Units are last in the names. Sizes are of plaintext where the name says `raw`.
"""

from typing import Final

FORMAT_VERSION: Final = 1
SUITE: Final = 1
STORE_ID_BYTES: Final = 32
CID_BYTES: Final = 32
CID_PREFIX_BYTES: Final = 16
DIGEST_BYTES: Final = 32
KEY_BYTES: Final = 32
TAG_BYTES: Final = 16

SLOT_MAX: Final = 10**16 - 1
VERSION_NUMBER_MAX: Final = 10**9 - 1
# The last millisecond of the year 9999: a time beyond it can't be shown.
TIME_MS_MAX: Final = 253_402_300_799_999
MEMBER_BYTES: Final = 16
OPERATION_BYTES: Final = 16
PUSH_ID_BYTES: Final = 16

RECORD_BYTES_MAX: Final = 16 << 20
# 64 data tiles are read together, so that this bounds them to 64 MiB; records of 16 KiB on average fit.
DATA_TILE_BYTES_MAX: Final = 1 << 20
INLINE_INDEX_BYTES_MAX: Final = 64 << 10

PACK_BYTES_TARGET: Final = 32 << 20
PACK_BYTES_MAX: Final = 64 << 20
PACK_BLOBS_MAX: Final = 1 << 20
PACK_CHUNKS_MAX: Final = 1 << 20
# A writer closes a pack that holds so many chunks, however small they are: footers and index rows stay small.
PACK_CHUNKS_TARGET: Final = 1 << 16

# A blob holds neighbouring chunks up to this many raw bytes, or one larger chunk.
BLOB_RAW_BYTES_TARGET: Final = 256 << 10
BLOB_RAW_BYTES_MAX: Final = 4 << 20

INLINE_CHUNKS_MAX: Final = 64
LIST_REFERENCES_MIN: Final = 256
LIST_REFERENCES_MAX: Final = 4096
LIST_CUT_MASK: Final = 1023
LIST_DEPTH_MAX: Final = 4

PAGE_ENTRIES_MIN: Final = 32
PAGE_ENTRIES_MAX: Final = 1024
PAGE_CUT_MASK: Final = 255
# Of paths and symlink targets together, so that every page fits a blob.
PAGE_PATH_BYTES_MAX: Final = 256 << 10
PAGE_CHILDREN_MIN: Final = 2
PAGE_LEVEL_MAX: Final = 8

PATH_BYTES_MAX: Final = 4096
FILE_BYTES_MAX: Final = 1 << 60
METADATA_BYTES_MAX: Final = 1 << 20
# Of all of a version's, as it is encoded: no JSON text of 1 MiB takes more.
METADATA_PACKED_BYTES_MAX: Final = 2 << 20
METADATA_DEPTH_MAX: Final = 64
DESCRIPTION_BYTES_MAX: Final = 64 << 10
REASON_CHARACTERS_MAX: Final = 4096
RETENTION_TAGS_MAX: Final = 64
# Whoever commits a distributed push reads a page of each part at a time.
PARTS_MAX: Final = 1024
NUMBERS_PER_OPERATION_MAX: Final = 65_536
RUN_TEXT_CHARACTERS_MAX: Final = 256
RUN_TAGS_MAX: Final = 256

SEGMENT_ROWS_MAX: Final = 4096
# What LMDB takes as a key; no row of a state has a longer one.
ROW_KEY_BYTES_MAX: Final = 511
STATE_CHUNK_BYTES_TARGET: Final = 256 << 10

"""Where a workspace lies, and the only code that reads and writes there.

protocol.py  what every place can do        opening.py  which place an address names
local.py     a directory, on a local or shared disk
s3.py        a prefix of a bucket: s3_bucket.py its objects, s3_upload.py large ones in parts,
             s3_connection.py the session and the patience, s3_errors.py what failures mean
cache.py     copies of a bucket's objects on this machine
scratch.py   directories for a while        disk.py     how bytes get to a disk and stay
keys.py      the names of files             hashing.py  the hash of every file
listing.py   what a walk finds              locking.py  locks between processes
probing.py   what only a check writes
"""

from tokensieve.storage.hashing import file_sha256, sha256_hex
from tokensieve.storage.listing import Leftover, StoredFile
from tokensieve.storage.local import LocalStorage
from tokensieve.storage.opening import open_storage
from tokensieve.storage.protocol import Storage

__all__ = [
    "Leftover",
    "LocalStorage",
    "Storage",
    "StoredFile",
    "file_sha256",
    "open_storage",
    "sha256_hex",
]

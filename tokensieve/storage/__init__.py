"""Where a workspace lies, and the only code that reads and writes there.

protocol.py  what every place can do        local.py    a directory, on a local or shared disk
opening.py   which place an address names   scratch.py  directories for a while
hashing.py   the hash of every file  listing.py  what a walk finds, for clean-up
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

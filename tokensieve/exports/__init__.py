"""A selection as a trainer takes it, written once, whole, under a name made of its content.

catalogue.py    the formats by name. One file for each: trl.py, axolotl.py, llama_factory.py,
                olmo.py, levanter.py, preshifted.py, ms_swift.py, json_lines.py
format.py       what a format is, and what it knows of where it is written
rows.py         samples with weights, read shard by shard
tables.py       files that are one table     spans.py   samples as spans of text
publication.py  built aside, then renamed    tally.py   what is counted meanwhile
standing.py     one that is there already: whether it is whole, and what is written anew
card.py         what an export says of itself, with card_text.py for people and origin.py for where
                the selection comes from
"""

from tokensieve.exports.catalogue import FORMATS, find_format
from tokensieve.exports.format import Base, Destination, Format
from tokensieve.exports.publication import Export
from tokensieve.exports.rows import Rows

__all__ = ["FORMATS", "Base", "Destination", "Export", "Format", "Rows", "find_format"]

"""Small SFT files for tests: written by rule, so that every number can be worked out."""

import json
import random
from pathlib import Path

WORDS = [
    "river",
    "stone",
    "cloud",
    "window",
    "garden",
    "letter",
    "winter",
    "silver",
    "market",
    "engine",
]


def write_drop(path: Path, num_rows: int, seed: int = 0, bad_rows: int = 0) -> Path:
    """Write messages rows of two sources, the last `bad_rows` of them broken; return the path."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for n in range(num_rows - bad_rows):
            words = draw.sample(WORDS, 4)
            a, b = draw.randrange(100), draw.randrange(100)
            adds = n % 2 == 0
            question = f"What is {a} + {b}?" if adds else f"Say {' '.join(words)} backwards."
            answer = f"{a} + {b} = {a + b}" if adds else " ".join(reversed(words))
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
            row = {"id": f"row-{n}", "source": "add" if adds else "say", "messages": messages}
            file.write(json.dumps(row) + "\n")
        file.write('{"messages": \n' * bad_rows)
    return path

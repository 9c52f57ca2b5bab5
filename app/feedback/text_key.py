"""When two texts are one query: a key that is equal for texts that the encoder cannot tell apart."""

import hashlib

from model.contract.normalise import same_text_key


def text_key(text: str) -> str:
    """A hash of the text without its width, case, invisible characters and runs of white space."""
    return hashlib.blake2b(same_text_key(text).encode(), digest_size=16).hexdigest()

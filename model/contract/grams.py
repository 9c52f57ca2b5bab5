"""Hashed n-grams: FNV-1a 32 over UTF-8, prefix-shared so that a word's 3-, 4- and 5-grams cost one pass.

Source: FNV-1a, Fowler, Noll and Vo (public domain); hashing n-grams of words, Bojanowski et al. 2017, arXiv:1607.04606.
"""

from typing import Final

FNV_OFFSET: Final = 2166136261
FNV_PRIME: Final = 16777619
_MASK: Final = 0xFFFFFFFF


def fnv1a_32(data: bytes, seed: int = 0) -> int:
    """Hash bytes to 32 bits; seed 0 is the published FNV-1a."""
    value = FNV_OFFSET ^ seed
    for byte in data:
        value = ((value ^ byte) * FNV_PRIME) & _MASK
    return value


def hash_grams(characters: list[bytes], smallest: int, largest: int, seed: int) -> list[list[int]]:
    """Hash every run of `smallest` to `largest` neighbouring characters, each given as its UTF-8 bytes.

    Returns:
        One list a length, shortest first; within it in order of position.
    """
    by_length: list[list[int]] = [[] for _ in range(largest - smallest + 1)]
    offset = FNV_OFFSET ^ seed
    n_characters = len(characters)
    for start in range(n_characters - smallest + 1):
        value = offset
        for length in range(1, min(largest, n_characters - start) + 1):
            for byte in characters[start + length - 1]:
                value = ((value ^ byte) * FNV_PRIME) & _MASK
            if length >= smallest:
                by_length[length - smallest].append(value)
    return by_length

"""Names that mean a secret: whole words of them, as in ``api_key``, ``dbPassword`` or ``HF-TOKEN``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRETS = _words("""
    password passwords passwd pwd passphrase passphrases passcode secret secrets auth oauth authn
    authz authorization authentication bearer credential credentials cred creds cookie cookies
    headers jwt otp totp dsn apikey apikeys apitoken authtoken accesstoken accesskey secretkey
    privatekey
    """)
#: One of these before ``key`` or ``keys``; a key alone is a name in a mapping, or a column.
_OF_KEYS = _words("""
    api access private secret account encryption encrypt signing sign ssh gpg pgp master service
    storage deploy license shared subscription ssl tls hmac session client app application aws azure
    gcp hf
    """)
#: One of these before ``pass``; alone it is one, too, elsewhere it is a pass over the data.
_OF_PASSES = _words("user db database root admin smtp mail my mysql pg postgres ftp proxy login")
#: Tokens of text and of networks, in whose names one of these stands beside ``token``.
_OF_TOKENS = _words("""
    num n max min total count size length len dim dims depth width level limit budget rate ratio
    type types mixing mixer mix merging merge pool pooling embed embedding embeddings drop dropout
    mask masked masking id ids index indices shift heads wise per pad padding bos eos cls unk sep
    special start end begin class dist distill distillation patch patches prefix suffix first last
    next prev previous image text word words byte char character sub stop eot sos image video audio
    register registers vocab vocabulary visual query prompt input output target sequence seq
    position
    """)
#: Several tokens are those of a text, but for these.
_OF_SECRET_TOKENS = _words("api access auth oauth refresh bearer hf github gitlab slack")
#: What a name ends with that says something about a secret and is none.
_ABOUT = _words("type mode length len size count limit timeout ttl enabled required env rounds min max")


@lru_cache(4096)
def means_secret(name: str) -> bool:
    """Whether a name, or a part of a dotted one, means a secret.

    >>> [means_secret(name) for name in ("api_key", "auth.user", "key", "num_tokens", "author")]
    [True, True, False, False, False]
    """
    return any(_is_secret(_WORD.findall(part)) for part in re.split(r"[.\[\]/]", name))


def _is_secret(written: Sequence[str]) -> bool:
    words = [word.lower() for word in written]
    if len(words) > 1 and (words[-1] in _ABOUT or words[0] in ("num", "n")):
        return False
    return any(_means_secret(word, words, place) for place, word in enumerate(words))


def _means_secret(word: str, words: Sequence[str], place: int) -> bool:
    before = words[place - 1] if place else ""
    if word in ("key", "keys"):
        return before in _OF_KEYS
    if word == "pass":
        return len(words) == 1 or before in _OF_PASSES
    if word == "token":
        return not _OF_TOKENS.intersection(words)
    if word == "tokens":
        return before in _OF_SECRET_TOKENS
    return word in _SECRETS or word.endswith(("password", "passwd", "passphrase"))

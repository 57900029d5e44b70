"""Secrets in texts: keys by their looks, passwords in addresses, values that stand behind a secret's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from bf_pipeline.redaction.names import means_secret

MASK: Final = "***"
#: Makes what stands in the place of a secret.
Mask = Callable[[str], str]

_KEYS = re.compile(
    r"""
    -----BEGIN\ [A-Z0-9 ]*PRIVATE\ KEY[A-Z ]*-----[\s\S]*?(?:-----END[A-Z0-9 ]*-----|\Z)
    | \bAGE-SECRET-KEY-1[A-Z0-9]{50,}
    | \b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}\b                 # AWS
    | \bgh[pousr]_[A-Za-z0-9]{30,} | \bgithub_pat_\w{22,}                # GitHub
    | \bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[\w-]{20,}          # GitLab
    | \bxox[abceoprs]-[A-Za-z0-9-]{10,} | \bxapp-[A-Za-z0-9-]{10,}        # Slack
    | (?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/-]{20,}
    | (?<=/api/webhooks/)\d+/[\w-]{20,}                                   # Discord
    | \beyJ[\w-]{8,4000}\.[\w-]{8,}(?:\.[\w-]*)?                         # JSON web tokens
    | \bAIza[\w-]{35} | \bya29\.[\w-]{20,} | \bGOCSPX-[\w-]{20,}          # Google
    | \bsk-[A-Za-z0-9_-]{20,} | \b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}   # OpenAI and others, Stripe
    | \bhf_[A-Za-z0-9]{30,} | \bnpm_[A-Za-z0-9]{36} | \bpypi-[\w-]{50,}   # Hugging Face, registries
    | \bSG\.[\w-]{16,99}\.[\w-]{16,}| \bhvs\.[\w-]{20,} | \bglsa_\w{30,}   # SendGrid, Vault, Grafana
    | \bdapi[0-9a-f]{32}\b | \bdo[opr]_v1_[0-9a-f]{64}                    # Databricks, DigitalOcean
    | \bwandb_v1_\w{30,} | (?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])           # Weights & Biases, Telegram
    | (?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==                               # Azure storage
    """,
    re.VERBOSE,
)
_LETTER = re.compile(r"[^\W\d_]")
_SCHEME = re.compile(r"(?i)(?<!\w)(bearer|basic|digest)([ ]+)([\w.~+/-]{6,}=*)")
_ADDRESS = re.compile(r"(?<![^\s'\"<>|])[^\s'\"<>|]*+")
_OPTION = re.compile(r"(?<!\S)(--[\w-]+)( +)([^\s-]\S*)")
#: What stands before a value: ``name=value``, ``name: value``, ``"name": "value"``, ``name: str = "value"``.
_NAME = re.compile(
    r"""
    (?<![\w.-])(?P<name>[A-Za-z_-][\w.-]*+)(?P<quote>["']?)
    (?:\ *(?::\ *[A-Za-z_][\w.]{0,40}(?:\[[\w.,\ |]{0,40}\])?(?:\ *\|\ *\w{1,40})?\ *)?:?=(?!=)\ * | \ *:\ *)
    """,
    re.VERBOSE,
)
_VALUE = re.compile(
    r"""
    "(?:[^"\\\n]|\\.)*+" | '(?:[^'\\\n]|\\.)*+' | \$\{[^}\n]*\}? | [\[{][^\]}\n]*[\]}]?
    | (?:[Bb]earer|[Bb]asic|[Dd]igest|[Tt]oken)\ +[^\s,;'"]+
    | [^\s,;&'"(){}\[\]<>]++(?![(\[])
    """,
    re.VERBOSE,
)
#: Further values in one word, as ``token=a,b`` sweeps over; not the next name, as in ``token=a,lr=1``.
_FURTHER = re.compile(r"(?:,(?![+~]*[\w./@-]+[=:])[^\s,;&'\"(){}\[\]<>]+)+")
_DEFAULT = re.compile(r"(\$\{\s*oc\.env\s*:[^,{}]*),[^{}]*\}")
_LINE = re.compile(r"^(?P<lead>[+\- ]?\s*(?:-\s+)?)(?P<name>[\"']?[\w.-]+[\"']?)\s*:(?P<rest>.*)$")


def redact_text(text: str, mask: Mask = lambda secret: MASK) -> str:
    """Return a text without keys, passwords in addresses, and values behind names that mean a secret.

    ``${oc.env:NAME,default}`` loses its default.

    >>> redact_text("fetch https://me:hunter2@host/data?token=abc api_key='x y' num_tokens=7")
    "fetch https://me:***@host/data?token=*** api_key='***' num_tokens=7"
    """
    if "://" not in text and not _LETTER.search(text):  # a long list of numbers, say
        return text
    text = _KEYS.sub(lambda found: mask(found[0]), text)
    if "oc.env" in text:
        text = _DEFAULT.sub(r"\1}", text)
    if "://" in text:
        text = _ADDRESS.sub(lambda found: _redact_addresses(found[0], mask), text)
    text = _SCHEME.sub(lambda found: f"{found[1]}{found[2]}{mask(found[3])}", text)
    text = _OPTION.sub(lambda found: _redact_option(found, mask), text)
    return _redact_named(text, mask)


def redact_file(text: str) -> str:
    """Return the text of a YAML or source file, or of changes to such files, without secrets.

    Beside what ``redact_text`` finds, all that stands in the same line behind a secret's name in YAML, and
    deeper below it.
    """
    lines = []
    block: int | None = None
    for line in _KEYS.sub(MASK, text).split("\n"):
        found = _LINE.match(line)
        content = line[1:] if line[:1] in "+- " else line
        depth = len(content) - len(content.lstrip())
        if block is not None and (not content.strip() or depth > block):
            lines.append(line[: len(line) - len(content) + depth] + (MASK if content.strip() else ""))
            continue
        block = None
        if found and means_secret(found["name"].strip("\"'")):
            rest = found["rest"].strip()
            if not rest or rest[0] in "|>#&!":
                block = depth
            elif rest[0] not in "\"'{[" and not _is_code(rest):
                kept = "" if rest in ("null", "~", "true", "false") or rest.startswith("${") else MASK
                lines.append(f"{found['lead']}{found['name']}: {kept or rest}")
                continue
        lines.append(redact_text(line))
    return "\n".join(lines)


def _is_code(rest: str) -> bool:
    """Whether what stands behind a colon belongs to a program: a type with a value, an argument, a call."""
    return bool(re.search(r"=|[,(\[]$|\)|^\w+\(", rest))


def _redact_option(found: re.Match[str], mask: Mask) -> str:
    name, space, value = found.groups()
    return f"{name}{space}{_hide(value, mask)}" if means_secret(name.strip("-")) else found[0]


def _redact_named(text: str, mask: Mask) -> str:
    parts, at, search = [], 0, 0
    while found := _NAME.search(text, search):
        search = found.end()
        if not means_secret(found["name"].strip("-")) or not (value := _VALUE.match(text, search)):
            continue
        bare = value[0][0] not in "\"'{["
        if found["quote"] and bare and text[value.end() : value.end() + 1] == " ":
            continue  # what is said about a name, and no mapping
        search = value.end()
        if bare and found[0].rstrip().endswith("=") and (more := _FURTHER.match(text, search)):
            search = more.end()
        quote = "" if value[0][0] not in "\"'" else value[0][0]
        hidden = _hide(text[value.start() + len(quote) : search - len(quote)], mask)
        parts += [text[at : found.end()], quote, hidden, quote]
        at = search
    return "".join([*parts, text[at:]])


def _hide(secret: str, mask: Mask) -> str:
    """Return the mask of a secret; what holds nothing, a reference or a mask already stays."""
    plain = secret.strip()
    if (
        not plain
        or plain.lower() in ("null", "none", "true", "false", "???")
        or plain.startswith(("${", MASK))
    ):
        return secret
    return mask(secret)


def _redact_addresses(word: str, mask: Mask) -> str:
    first, *rest = word.split("://")
    return "://".join([first, *(_redact_address(address, mask) for address in rest)])


def _redact_address(address: str, mask: Mask) -> str:
    """Return what stands behind ``://`` without its password, and without a user that is a long token."""
    authority, slash, path = address.partition("/")
    port = authority.rpartition(":")[2]
    if "@" not in authority and ":" in authority and not port.isdigit():  # a password with a slash in it
        authority, slash, path = address, "", ""
    account, at, host = authority.rpartition("@")
    user, colon, password = account.partition(":")
    if not at:
        return address
    if colon:
        password = _hide(password, mask)
    elif len(user) >= 16:
        user = _hide(user, mask)
    return f"{user}{colon}{password}@{host}{slash}{path}"

"""The redaction: which names mean a secret, which texts look like one, and what stays as it is."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from bf_pipeline.redaction.names import means_secret
from bf_pipeline.redaction.texts import redact_file, redact_text
from bf_pipeline.redaction.values import redact, redact_command, redact_config, redact_override


def words(text: str) -> list[str]:
    return text.split()


SECRET = words(
    """
    password db_passwd api_key token secret auth pwd access_key private_key passphrase authorization
    bearer headers credential credentials apiKey APIKey HF_TOKEN hfToken user_pass pass cookie
    client_secret AWS_SECRET_ACCESS_KEY oauth2 proxy.auth.user GITHUB-TOKEN access_tokens
    mlflow_tracking_password sshKey userpassword x-api-key
    """
)
HARMLESS = words(
    """
    num_tokens max_tokens tokenizer author authors key keys sort_key key_dim keyboard monkey n_pass
    first_pass passes compass bypass secretary pad_token cls_token token_dim tokens tokens_per_batch
    header heads head lr optimizer model.depth auth_type password_length public_key num_headers path
    hidden
    """
)
#: Made up, in the shapes that the services give them.
KEYS = {
    "aws": "AKIA" + "Q3EGRIP7ULXA5ZXY",
    "github": "ghp_" + "a1B2c3D4e5F6" * 3,
    "github fine": "github_pat_" + "11AAAAAAA0" * 3,
    "gitlab": "glpat-" + "xY9_zW8-vU7tS6rQ5pO4",
    "slack": "xoxb-" + "123456789012-abcdefGHIJKL",
    "slack hook": "https://hooks.slack.com/" + "services/T000/B0000/XXXXXXXXXXXXXXXX",
    "token of the web": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0" + ".c2lnbmF0dXJlX29mX2l0",
    "google": "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "openai": "sk-" + "proj-abcdEFGH1234ijklMNOP5678",
    "hugging face": "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "stripe": "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc",
    "pem": "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEowIBAAKCAQ\n-----END RSA PRIVATE KEY-----",
    "databricks": "dapi" + "0123456789abcdef" * 2,
}


@pytest.mark.parametrize("name", SECRET)
def test_names_that_mean_a_secret(name):
    assert means_secret(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_names_that_mean_none(name):
    assert not means_secret(name)
    assert redact({name: "some text"}) == {name: "some text"}


@pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
def test_keys_are_known_by_their_looks_anywhere(key):
    hidden = key.removeprefix("https://hooks.slack.com/")
    for text in (key, f"failed with {key}: no", f"x={key}", f'["{key}"]', f"url?x={key}&y=1"):
        assert hidden not in redact_text(text)
        assert hidden not in str(redact({"note": [text]}))
        assert hidden not in redact_override(f"note='{text}'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@ss@host/db", "postgresql://u:***@host/db"),
        ("postgres://u:pa/ss@host:5432/db", "postgres://u:***@host:5432/db"),
        ("redis://:pw@host", "redis://:***@host"),
        ("a=http://x/1,b=http://u:pw@h/2", "a=http://x/1,b=http://u:***@h/2"),
        ("https://0123456789abcdef0123@host/x", "https://***@host/x"),
        ("get /x?token=abc&page=2", "get /x?token=***&page=2"),
        ("login(password='x y', user='me')", "login(password='***', user='me')"),
        ('{"api_key": "a\\"b", "n": 3}', '{"api_key": "***", "n": 3}'),
        ("dataset={token:abc,n:3}", "dataset={token:***,n:3}"),
        ("env=TOKEN=abc", "env=TOKEN=***"),
        ("--password hunter2 --lr 3", "--password *** --lr 3"),
        ("Authorization: Bearer abcdefgh", "Authorization: ***"),
        ("sent Bearer abcdefgh.ij", "sent Bearer ***"),
        ("token: str = 'abc'", "token: str = '***'"),
    ],
)
def test_secrets_inside_a_text(text, expected):
    assert redact_text(text) == expected
    assert redact_text(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1/runs?x=a@b",
        "ssh://git@github.com/me/it",
        "sqlite:////home/me/mlflow.db",
        "num_tokens=7 tokenizer=bpe author: me, key=x",
        "auth = get_auth(session)",
        "config key 'api.token': a text is wanted here",
        "password=${oc.env:PW}",
        "if token == other:",
        "password=null secret=",
        "lr=0.1 model.layers=[1,2] dataset={a:1}",
    ],
)
def test_texts_without_a_secret_stay(text):
    assert redact_text(text) == text


def test_settings_below_a_secret_name_are_masked_and_what_says_nothing_stays():
    settings = {
        "auth": {"user": "me", "more": ["a", {"b": 3}]},
        "token": None,
        "password": 123,
        "secret": True,
        "api_key": "???",
        "headers": 2,
        "bearer": "${oc.env:TOKEN,abc}",
        "model": {"depth": 18, "lr": 0.1},
    }
    assert redact(settings) == {
        "auth": {"user": "***", "more": ["***", {"b": "***"}]},
        "token": None,
        "password": "***",
        "secret": True,
        "api_key": "???",
        "headers": 2,
        "bearer": "${oc.env:TOKEN}",
        "model": {"depth": 18, "lr": 0.1},
    }


def test_a_command_line_keeps_its_settings():
    words = ["train.py", "lr=0.1", "++db.password=a b", "url=http://u:pw@h", "-m", "+x={token:t}"]
    assert redact_command(words) == "train.py lr=0.1 ++db.password=*** url=http://u:***@h -m +x={token:***}"


def test_what_came_from_the_environment_is_masked_wherever_it_went(monkeypatch):
    monkeypatch.setenv("BF_TEST_NAME", "hunter2")
    monkeypatch.setenv("BF_TEST_NUMBER", "4711")
    config = OmegaConf.create(
        {
            "name": "${oc.env:BF_TEST_NAME}",
            "far": ["to ${name}", "${near}"],
            "near": {"n": "${oc.decode:${oc.env:BF_TEST_NUMBER}}", "fallback": "${oc.env:BF_TEST_NONE,abc}"},
            "must": "???",
            "other": "${plain}",
            "plain": 3,
        }
    )
    whole = redact_config(config, resolve=True)
    assert whole["far"] == ["to ***", {"n": "***", "fallback": "***"}]
    assert (whole["name"], whole["must"], whole["other"]) == ("***", "???", 3)
    kept = redact_config(config, resolve=False)
    assert (kept["name"], kept["far"][0]) == ("${oc.env:BF_TEST_NAME}", "to ${name}")
    assert kept["near"]["fallback"] == "${oc.env:BF_TEST_NONE}"


def test_changes_of_files_are_masked_line_by_line_and_block_by_block():
    text = """\
--- a/conf.yaml
+password: my long pass
+headers:
+  X-Key: abc
+
+  Y: [def]
 model:
-  token: ghi # note
+  secret: |
+    jkl
+  depth: 18
+def train(token: str) -> None:
+    api_key = "mno"
+    return train(tokenizer, auth)
"""
    hidden = redact_file(text)
    for secret in ("my long pass", "long", "abc", "def]", "ghi", "jkl", "mno"):
        assert secret not in hidden
    for kept in ("--- a/conf.yaml", " model:", "+  depth: 18", "return train(tokenizer, auth)"):
        assert kept in hidden
    assert len(hidden.splitlines()) == len(text.splitlines())

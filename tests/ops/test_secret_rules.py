"""Keys and passwords: what is one, what only looks like one, and that every rule can fire."""

import random
import re
import string

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import text_buffers
from engine.schema import TEXT
from ops.secret_rules import entropy_of, find_secrets, is_placeholder, rules

_CHANCE = random.Random(5)


def _drawn(size: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(_CHANCE.choice(alphabet) for _ in range(size))


def _found(*texts: str) -> list[tuple[str, str, str]]:
    data, offsets = text_buffers(pa.array(texts, TEXT))
    return [(s.kind, str(s.rule), bytes(data[s.begin : s.end]).decode()) for s in find_secrets(data, offsets)]


_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
_GITHUB, _AWS, _PLAIN, _HEX40 = "ghp_" + _drawn(36), "AKIA" + _drawn(16, _UPPER), _drawn(30), _drawn(40, _HEX)
_SECRET = "x4" + _drawn(10) + "Q7"


@pytest.mark.parametrize(
    ("text", "rule", "value"),
    [
        (f"see {_GITHUB}.", "github_token", _GITHUB),
        (f"[default]\nid={_AWS}\n", "aws_access_key_id", _AWS),
        (f'api_key = "{_PLAIN}"', "key", _PLAIN),
        (f"apiKey: '{_PLAIN}',", "key", _PLAIN),
        (f"export MY_TOKEN={_PLAIN}\n", "key", _PLAIN),
        (f'{{\\"secret\\": \\"{_PLAIN}\\"}}', "key", _PLAIN),
        (f'client_secret: str = "{_PLAIN}"', "key", _PLAIN),
        (f'config["auth_token"] = "{_PLAIN}"', "key", _PLAIN),
        (f'<add key="ApiKey" value="{_PLAIN}"/>', "key", _PLAIN),
        (f'setSecretKey("{_HEX40}")', "key", _HEX40),
        (f"tool --token {_PLAIN} run", "key", _PLAIN),
        (f'password = "{_SECRET}"', "password", _SECRET),
        (f'#define DB_PASSWORD "{_SECRET}"', "password", _SECRET),
        (f'if (password !== "{_SECRET}")', "password", _SECRET),
        ("db_pass: hunTer-2!x", "password", "hunTer-2!x"),
        (f"postgres://app:{_SECRET}@db.internal:5432/x", "url_password", _SECRET),
        (f"Authorization: Bearer {_PLAIN}", "bearer_authorization", _PLAIN),
        (f"curl -s -u admin:{_SECRET} http://x", "curl_user", _SECRET),
        (f"AccountKey={_drawn(86)}==;x", "azure_account_key", None),
        (f"https://hooks.slack.com/services/T{_drawn(10)}/B{_drawn(10)}/{_drawn(24)}", "slack_webhook", None),
    ],
)
def test_secrets(text, rule, value):
    found = _found(text)
    # An assignment may be seen twice, by its name and by its form; then both see the same value.
    assert rule in [f[1] for f in found] and len({f[2] for f in found}) == 1
    assert value is None or found[0][2] == value


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "YOUR_API_KEY_12345"',
        'api_key = "xxxxxxxxxxxxxxxx1"',
        "token: ${{ secrets.DEPLOY_TOKEN1 }}",
        'password = "changeme1"',
        'password = "{password1}"',
        "password = os.environ['PASSWORD1']",
        "token = get_token(user1)",
        'token_url = "https://host.com/v1/a8Zk2LmPx09QwErT"',
        f'public_key = "{_PLAIN}"',
        f'sha256_key: "{_drawn(64, _HEX)}"',
        f'key = "{_HEX40}"  # commit',
        'password: "Enter your password"',
        'primary_key = "user_id_2"',
        "keyword = 'abcdefgh12345678'",
        'PasswordHasher("sha256")',
        'tokenizer = load("mistral-7B-v0.1")',
        'key = "settings:user:profile2"',
        "author, 2023",
        "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
        'pem = "-----BEGIN PRIVATE KEY-----" + body + "-----END PRIVATE KEY-----"',
        "https://host.com:8080/@scope/pkg",
    ],
)
def test_what_is_no_secret(text):
    assert _found(text) == []


def test_a_private_key_is_found_as_a_block():
    body = "\n".join(_drawn(64, string.ascii_letters + string.digits + "+/") for _ in range(6))
    block = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    assert _found(f"key:\n{block}\nrest") == [("KEY", "private_key", block)]


def test_a_share_or_a_shadow_hides_no_key_but_a_list_of_hashes_does():
    key = f'secret_key = "{_HEX40}"\n'
    assert len(_found("share, shape, shadow\n" + key)) == 1
    assert len(_found("sha of it\n" + key)) == 1
    assert _found("sha\nsha\nsha\n" + key) == []
    assert len(_found("sha\nsha\nsha\n" + "x\n" * 200 + key)) == 1


def test_a_hash_is_known_by_its_line_at_the_beginning_of_a_file_too():
    assert _found(f'key="{_HEX40}" # md5') == []
    assert len(_found(f'key="{_HEX40}"')) == 1


def _instance(pattern: str) -> str | None:
    # A text of each token's form: classes drawn, counts at their least and some more.
    out, at = "", 0
    for piece in re.finditer(r"(\[[^\]]+\]|\\.|[A-Za-z0-9_~.$|/+=-])(?:\{(\d+)(?:,(\d+))?\})?(\?)?", pattern):
        if piece.start() != at:
            return None
        at = piece.end()
        atom, least = piece.group(1), int(piece.group(2) or 1)
        if piece.group(4):
            continue
        if atom.startswith("["):
            allowed = [c for c in map(chr, range(33, 127)) if re.fullmatch(atom, c) and c.isalnum()]
            out += "".join(_CHANCE.choice(allowed) for _ in range(least))
        else:
            out += (atom[1:] if atom.startswith("\\") else atom) * least
    return out if at == len(pattern) else None


def test_every_token_rule_finds_a_text_of_its_form():
    tried = 0
    form_of_tokens = re.compile(r"\(\?:(.+?)\)((?:\[|\\|[A-Za-z0-9{]).*)\(\?!\[0-9A-Za-z_-\]\)")
    for rule in {rule.id: rule for led in rules().led_to for rule in led}.values():
        form = form_of_tokens.fullmatch(rule.pattern.pattern.decode())
        if not form:
            continue
        rest = _instance(form.group(2))
        if rest is None:
            continue
        for start in form.group(1).split("|"):
            token = re.sub(r"\\(.)", r"\1", start) + rest
            if entropy_of(token.encode()) < rule.entropy or is_placeholder(token.encode()):
                continue
            tried += 1
            data, offsets = text_buffers(pa.array([f'x = f("{token}")'], TEXT))
            values = [bytes(data[s.begin : s.end]).decode() for s in find_secrets(data, offsets)]
            assert token in values, (rule.id, token)
    assert tried > 80


def test_placeholders():
    assert all(map(is_placeholder, (b"changeme", b"<secret>", b"abcdefghijkl", b"aaaaaaaab", b"${TOKEN}")))
    assert not is_placeholder(_PLAIN.encode())


@given(st.lists(st.text(alphabet="keypaswordtn =:\"'\n12Ax/-_.", max_size=50), max_size=6))
def test_rows_do_not_see_each_other(texts):
    texts += [f'key="{_PLAIN}"', "api_", f'key="{_PLAIN}"']
    assert _found(*texts) == [found for text in texts for found in _found(text)]

"""Documents with planted e-mails, IP addresses and keys between lines that only look like them, drawn from a seed."""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Callable, Iterator

Span = tuple[int, int, str]
"""Where something planted begins and ends, in characters, and its kind."""

_NATURE = """
    anchor basin cobalt delta ember fjord glacier harbor indigo juniper kernel lantern meadow nectar orchid pebble
    quartz raven saffron timber umber velvet willow yonder zephyr
"""
_FIRST_NAMES = "amelia bjorn chidi dagny emeka farida goran hanne ilse jorge kaori lucian maren nadia oskar"
_HOSTS = "cobaltworks.com meadow-labs.io nordhaus.de zephyr.co.uk kaori.jp uni-basin.edu ravenfoss.org"
WORDS, PEOPLE, _DOMAINS = _NATURE.split(), _FIRST_NAMES.split(), _HOSTS.split()


def chars(chance: random.Random, alphabet: str, size: int) -> str:
    return "".join(chance.choice(alphabet) for _ in range(size))


BASE62 = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def _email(c: random.Random) -> str:
    first, last = c.choice(PEOPLE), c.choice(WORDS)
    local = c.choice(
        [f"{first}.{last}", f"{first}{c.randrange(100)}", f"{first[0]}{last}", f"{first}_{last}", f"{first}+dev"]
    )
    return f"{local}@{c.choice(_DOMAINS)}"


def _ip(c: random.Random) -> str:
    if c.random() < 0.25:
        groups = [f"{c.randrange(1, 65536):x}" for _ in range(c.randrange(2, 6))]
        return "2a0" + chars(c, "0123456789", 1) + ":" + ":".join(groups[:-1] or groups) + "::" + groups[-1]
    return f"{c.randrange(11, 224)}.{c.randrange(256)}.{c.randrange(256)}.{c.randrange(1, 255)}"


def _key(c: random.Random) -> str:
    return c.choice(
        [
            lambda: chars(c, BASE62, 40),
            lambda: chars(c, HEX, 32),
            lambda: chars(c, string.ascii_lowercase + string.digits, 24),
            lambda: "ghp_" + chars(c, BASE62, 36),
            lambda: "AKIA" + chars(c, string.ascii_uppercase + "234567", 16),
            lambda: (
                "xoxb-" + chars(c, string.digits, 12) + "-" + chars(c, string.digits, 12) + "-" + chars(c, BASE62, 24)
            ),
            lambda: "sk_live_" + chars(c, BASE62, 24),
            lambda: chars(c, BASE62 + "+/", 43) + "=",
            lambda: f"eyJ{chars(c, BASE62, 33)}.eyJ{chars(c, BASE62, 60)}.{chars(c, BASE62 + '-_', 43)}",
            lambda: str(uuid.UUID(int=c.getrandbits(128), version=4)),
            lambda: "AIza" + chars(c, BASE62 + "-_", 35),
        ]
    )()


PLANTED: dict[str, tuple[Callable[[random.Random], str], list[str]]] = {
    "EMAIL": (
        _email,
        [
            "# maintained by {}",
            "     \\author {}",
            'contact = ["{}"]',
            "Signed-off-by: Some One <{}>",
            "mailto:{}?subject=hi",
            "reach me at {}.",
            "$mail->addAddress('{}');",
            "<td>{}</td>",
            "{};admin",
            "ΑΒΓ – {} – 日本語",
            "owner={},team=core",
            "-- ({})",
            "<{}>",
            "mail='{}'",
            "cc:{},",
            "[{}](mailto)",
            "@author:{}",
            "Ünsal Çelik {}",
        ],
    ),
    "IP_ADDRESS": (
        _ip,
        [
            "ping -c1 {}",
            'var peer = "{}";',
            "ssh root@{}",
            "Allow from {}",
            "- {}",
            "blocked: {} (3 times)",
            "route add {} via eth0",
            "{}\tmirror",
            "upstream backend {{ server {}; }}",
            "x-forwarded-for: {}",
            "hosts: [{}]",
            "Réseau : {}",
            "({})",
            "[{}]",
            "ip={};",
            "{}, {{port}}",
            "# {} is down",
            "http://{}/index.html",
        ],
    ),
    "KEY": (
        _key,
        [
            'api_key = "{}"',
            "const clientSecret = '{}';",
            "export ACCESS_TOKEN={}",
            "    secretKey: {}",
            '"auth_token": "{}",',
            "$config['api_secret'] = '{}';",
            "Authorization: Bearer {}",
            '.header("X-Api-Key", "{}")',
            'client.setApiToken("{}")',
            "GITHUB_TOKEN={}",
            'signing_key := "{}"',
            "<apikey>{}</apikey>",
            "curl -H 'X-Auth-Token: {}' https://api.example.org/v1",
            "GET /v1/items?api_key={}&page=2",
            "ENV APP_SECRET {}",
            "`token` => '{}',",
            'setenv("SERVICE_API_KEY", "{}", 1);',
            "# old secret was {}",
            "access-key: '{}'",
        ],
    ),
}

_HARD = [
    lambda c: f"git clone git@{c.choice(_DOMAINS)}:{c.choice(WORDS)}/{c.choice(WORDS)}.git",
    lambda c: f"https://{c.choice(PEOPLE)}@{c.choice(_DOMAINS)}/path",
    lambda c: f"<img src='{c.choice(WORDS)}@2x.png'>",
    lambda c: f"return@{c.choice(WORDS)}.{c.choice(WORDS)}",
    lambda c: f"@{c.choice(WORDS)}.{c.choice(WORDS)}\ndef f(): pass",
    lambda c: f"npm i {c.choice(WORDS)}@{c.randrange(9)}.{c.randrange(20)}.{c.randrange(20)}",
    lambda c: f'send_to(f"{{user}}@{c.choice(_DOMAINS)}")',
    lambda c: f"Ciphers aes{c.choice((128, 256))}-gcm@openssh.com",
    lambda c: f"version = '{c.randrange(9)}.{c.randrange(20)}.{c.randrange(90)}.{c.randrange(200)}'",
    lambda c: f"{c.choice(WORDS)}-{c.randrange(9)}.{c.randrange(20)}.{c.randrange(90)}.{c.randrange(200)}.tar.gz",
    lambda c: f"1.3.6.1.4.1.{c.randrange(9999)}.{c.randrange(99)}",
    lambda c: f"std::{c.choice(('abs', 'beef', 'cafe', 'add', 'fade'))}::dec(x[::{c.randrange(2, 9)}])",
    lambda c: "hwaddr " + ":".join(chars(c, HEX, 2) for _ in range(6)),
    lambda c: f"{c.randrange(24):02}:{c.randrange(60):02}:07 {c.randrange(1, 28)}.{c.randrange(1, 12)}.2019",
    lambda c: f"{c.randrange(9)}.{c.randrange(9)}.{c.randrange(9)}.{c.randrange(9)} {c.choice(WORDS)}",
    lambda c: f"sha256:{chars(c, HEX, 64)}",
    lambda c: f'"integrity": "sha512-{chars(c, BASE62 + "+/", 86)}=="',
    lambda c: f"commit {chars(c, HEX, 40)}",
    lambda c: f'key = "{c.choice(WORDS)}_{c.choice(WORDS)}_{c.choice(WORDS)}"',
    lambda c: f'token_type = "{c.choice(WORDS)}{c.randrange(99)}"',
    lambda c: f'id = "{uuid.UUID(int=c.getrandbits(128), version=4)}"',
    lambda c: f'ETag: "{chars(c, HEX, 32)}"',
    lambda c: f"assert token == expected_{c.choice(WORDS)}_{c.randrange(9)}",
    lambda c: f'secret_name = "projects/{c.choice(WORDS)}/secrets/{c.choice(WORDS)}/versions/{c.randrange(9)}"',
    lambda c: f"key: {c.choice(WORDS)}-{c.choice(WORDS)}-{c.randrange(999)}",
    lambda c: f"keyword_hash = 0x{chars(c, HEX, 16)}",
    lambda c: f"Chrome/{c.randrange(60, 120)}.0.{c.randrange(99)}.{c.randrange(99)} Safari/537.36",
    lambda c: (
        f"Requires: lib{c.choice(WORDS)} >= {c.randrange(9)}.{c.randrange(20)}.{c.randrange(9)}.{c.randrange(30)}"
    ),
    lambda c: f"git checkout {chars(c, HEX, 40)} # token {c.choice(WORDS)}",
    lambda c: f"x @ y.{c.choice(WORDS)}; a@b.T; {c.choice(WORDS)}@{c.choice(WORDS)}",
    lambda c: 'api_key = "YOUR_API_KEY_GOES_HERE_123"',
    lambda c: "secret: ${{ secrets.DEPLOY_TOKEN_2 }}",
    lambda c: f"token = get_token({c.choice(WORDS)}, {c.randrange(99)})",
    lambda c: f"md5sum: {chars(c, HEX, 32)}  {c.choice(WORDS)}.zip",
    lambda c: f'public_key = "{chars(c, BASE62, 44)}"',
    lambda c: f'src="data:image/png;base64,{chars(c, BASE62 + "+/", 120)}"',
    lambda c: f'cache_key = "{c.choice(WORDS)}:v{c.randrange(9)}:{c.choice(WORDS)}"',
]


def planted(seed: int, documents: int) -> Iterator[tuple[str, list[Span]]]:
    """Documents and the spans, in characters, that stand in them; half of the lines only look like PII."""
    chance = random.Random(seed)
    for _ in range(documents):
        text, spans = "", []
        for _ in range(chance.randrange(4, 12)):
            draw = chance.random()
            if draw < 0.3:
                kind = chance.choice(list(PLANTED))
                make, templates = PLANTED[kind]
                value, template = make(chance), chance.choice(templates)
                before = template.split("{}")[0].replace("{{", "{").replace("}}", "}")
                begin = len(text) + len(before)
                spans.append((begin, begin + len(value), kind))
                text += template.format(value) + "\n"
            elif draw < 0.7:
                text += chance.choice(_HARD)(chance) + "\n"
            else:
                words = [chance.choice(WORDS) for _ in range(chance.randrange(2, 9))]
                text += f"{chance.choice(('let', 'def', '//', '-', 'été'))} {' '.join(words)};\n"
        yield text, spans

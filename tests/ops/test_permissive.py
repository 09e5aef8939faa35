"""The filter of permissive licences."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.op import Ledger
from engine.schema import TEXT
from ops.permissive import Permissive, is_permissive, listed, verdict

GOOD, BAD, UNHEARD = ["MIT", "Apache-2.0"], ["GPL-3.0-only", "CC-BY-NC-4.0"], ["Foo-1.0", "Unheard-of"]


def test_the_list_is_pinned():
    """Whoever changes the list changes which files are kept: raise `Permissive.version` with it."""
    assert len(listed()) == 167
    digest = hashlib.sha256("\n".join(sorted(listed())).encode()).hexdigest()
    assert digest == "27184e4ee6acb833e2390a57b7f821938bcd4bc537106af9f3d115153cad8035"
    assert {"MIT", "0BSD", "BlueOak-1.0.0", "PSF-2.0", "Python-2.0", "Python-2.0.1", "CC0-1.0", "Unlicense"} <= listed()
    assert not {i for i in listed() if re.match(r"[AL]?GPL|MPL|EPL|CC-BY|EUPL|BUSL|SSPL|CDDL|OSL", i)}


def expressions(leaves: list[str]) -> st.SearchStrategy[str]:
    words = st.sampled_from([" AND ", " OR "])
    return st.recursive(
        st.sampled_from(leaves),
        lambda inner: st.tuples(inner, words, inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        max_leaves=8,
    )


@given(expressions(GOOD + BAD + UNHEARD))
def test_verdicts_are_those_of_the_truth_table(text: str):
    """Unknown is what depends on whether a name that SPDX does not know is permissive."""
    formula = re.sub(r"[\w.-]+", lambda m: m[0].lower() if m[0] in ("AND", "OR") else f"v['{m[0]}']", text)
    known = dict.fromkeys(GOOD, True) | dict.fromkeys(BAD, False)
    worlds = [
        eval(formula, {"v": known | dict(zip(UNHEARD, values, strict=True))})
        for values in itertools.product([False, True], repeat=len(UNHEARD))
    ]
    expected = "permissive" if all(worlds) else "unknown" if any(worlds) else "not_permissive"
    assert verdict(text, listed().__contains__) == expected


CASES = {
    "MIT": None,
    "mit and apache-2.0": None,
    "MIT OR GPL-3.0-only": None,
    "MIT AND GPL-3.0-only": "not_permissive",
    "(MIT OR GPL-3.0) AND (ISC OR Zlib)": None,
    "MIT AND (GPL-2.0+ OR LGPL-2.1)": "not_permissive",
    "Apache-2.0 WITH LLVM-exception": None,
    "GPL-2.0-only WITH Classpath-exception-2.0": "not_permissive",
    "Apache-2.0+": None,
    "GPL-2.0+": "not_permissive",
    "MIT OR Foo": None,
    "MIT AND Foo": "unknown_license",
    "GPL-3.0-only AND Foo": "not_permissive",
    "LicenseRef-own": "not_permissive",
    "LicenseRef-scancode-public-domain": None,
    "LicenseRef-scancode-unknown-license-reference": "unknown_license",
    "MIT AND LicenseRef-scancode-unknown-license-reference": "unknown_license",
    "BSD-2-Clause-FreeBSD": None,
    "BSD-2-Clause-Views": None,
    "Net-SNMP": None,
    "GPL-2.0-with-classpath-exception": "not_permissive",
    "Python-2.0.1": None,
    "MIT AND": "unknown_license",
    "": "unknown_license",
    "NOASSERTION": "unknown_license",
    None: "unknown_license",
}


def reasons(op: Permissive, license: Sequence[str | None]) -> list[str | None]:
    return op.drop(pa.array(license, TEXT)).reason().to_pylist()


def test_reasons():
    assert reasons(Permissive(), list(CASES)) == list(CASES.values())
    assert is_permissive(pa.array(list(CASES), TEXT)).to_pylist() == [reason is None for reason in CASES.values()]


def test_columns_with_repeats_slices_and_nulls():
    column = pa.array([*CASES] * 50, TEXT)
    expected = [*CASES.values()] * 50
    assert Permissive().drop(column.slice(7, 900)).reason().to_pylist() == expected[7:907]
    assert reasons(Permissive(), []) == []
    assert reasons(Permissive(), [None, None]) == ["unknown_license"] * 2


def test_unknown_may_be_kept():
    expected = [None if reason == "unknown_license" else reason for reason in CASES.values()]
    assert reasons(Permissive(unknown="keep"), list(CASES)) == expected


def test_ids_may_be_added_and_taken_away():
    op = Permissive(also=("mpl-2.0", "GPL-2.0"), never=("MIT", "MPL-2.0"))
    said = ["MPL-2.0", "GPL-2.0-only", "GPL-2.0-or-later", "MIT", "ISC", "MIT OR ISC"]
    assert reasons(op, said) == ["not_permissive", None, "not_permissive", "not_permissive", None, None]


def test_former_ids_are_taken_away_with_todays():
    assert reasons(Permissive(never=("BSD-2-Clause-Views",)), ["BSD-2-Clause-FreeBSD"]) == ["not_permissive"]


@pytest.mark.parametrize("field", ["also", "never"])
def test_an_unheard_of_id_is_refused_with_the_nearest(field: str):
    with pytest.raises(ValidationError, match=r"`MPL2\.0` is no SPDX licence id; did you mean `MPL-2\.0`\?"):
        Permissive.model_validate({field: ["MPL2.0"]})


def test_a_recipe_gives_lists():
    op = Permissive.model_validate({"also": ["MPL-2.0"]})
    assert op.parameters() == {"unknown": "drop", "also": ["MPL-2.0"], "never": []}


def test_every_row_is_kept_or_in_the_ledger():
    said = list(CASES)
    batch = pa.RecordBatch.from_pydict(
        {"id": [str(n) for n in range(len(said))], "license": pa.array(said, TEXT)},
        schema=pa.schema([("id", TEXT), ("license", TEXT)]),
    )
    ledger = Ledger("code")
    kept = Permissive().run(batch, ledger)
    dropped = ledger.table()
    assert kept["license"].to_pylist() == [text for text, reason in CASES.items() if reason is None]
    assert dropped["reason"].to_pylist() == [reason for reason in CASES.values() if reason]
    assert {*kept["id"].to_pylist(), *dropped["id"].to_pylist()} == {str(n) for n in range(len(said))}

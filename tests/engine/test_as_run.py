"""What a recipe said when it ran."""

from engine.as_run import parameters


def test_every_step_of_an_op_is_found_wherever_it_stands(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "name: x\nseed: 1\nstreams:\n"
        "  code: {source: {parquet: {path: a}}, steps: [{tokenize: {tokenizer: null}}, exact_dedup]}\n"
        "  other: {source: {parquet: {path: b}}}\n"
        "steps:\n  - tokenize: {tokenizer: F}\n  - tokenize\n"
    )
    found = parameters(str(tmp_path), "tokenize")
    assert sorted(map(str, found)) == ["{'tokenizer': 'F'}", "{'tokenizer': None}", "{}"]
    assert parameters(str(tmp_path), "exact_dedup") == [{}]
    assert parameters(str(tmp_path), "pack") == []


def test_a_run_of_one_stream(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "name: x\nsource: {parquet: {path: a}}\nsteps:\n  - line_length: {longest: 3}\n"
    )
    assert parameters(str(tmp_path), "line_length") == [{"longest": 3}]

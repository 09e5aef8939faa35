# ruff: noqa: E501
"""Recipes in the ops of `tests/engine/outside`: right ones, and wrong ones with what is printed about them, whole."""

from collections.abc import Iterator

STREAMS = """\
# yaml-language-server: $schema=../docs/recipe.schema.json
name: stack
seed: 7
streams:
  code:
    source: {parquet: {path: "s3://bucket/*.parquet"}}
    steps:
      - line_length: {longest: 500}
      - find_spans
      - line_length
      - redact
  commits:
    source: environment
    steps:
      - find_spans: {sort: key, largest: 1GB}
steps:
  - redact
  - line_length
  - near_dedup: {threshold: 0.8}
  - pack: {length: 8192}
"""

ALONE = "name: small\nsource: environment\nsteps:\n  - line_length\n  - pack: {length: 64}\n"

BROAD = """\
name: broad
seed: 1e3
streams:
  code:
    source: {parquet: {path: "s3://bucket/*.parquet", rows: 5}}
    steps:
      - line_length: {longest: 1000, mean: 100}
      - find_spans: {sort: key, largest: 1GB}
      - line_length
  commits:
    source: environment
    steps: [find_spans]
steps:
  - redact: {by: '<X>'}
  - everything: {against: [a, b], weights: {json: 1GB}, rules: [{at_most: 3}]}
  - near_dedup:
      threshold: 0.7
  - pack: {length: 8192}
"""

WRONG = r"""
=== the file is empty
# nothing but a remark
>>>
r.yaml: the recipe is empty
     = a recipe has: name, seed, source, streams, steps
=== the recipe is a list
- environment
>>>
r.yaml:1:1: a recipe is a map, not a list
   1 | - environment
       ^^^^^^^^^^^^^
     = a recipe has: name, seed, source, streams, steps
=== the recipe is one word
environment
>>>
r.yaml:1:1: a recipe is a map, not "environment"
   1 | environment
       ^^^^^^^^^^^
     = a recipe has: name, seed, source, streams, steps
=== an unknown key, and others missing
nam: r
>>>
r.yaml:1:1: a recipe has no `nam`; did you mean `name`?
   1 | nam: r
       ^^^
     = a recipe has: name, seed, source, streams, steps

r.yaml:1:1: the recipe has no `source` and no `streams`: it reads nothing
   1 | nam: r
       ^^^
     = a recipe has: name, seed, source, streams, steps
=== a name that is a number
name: 2024
source: environment
>>>
r.yaml:1:7: `name` is a text, not 2024; write it in quotes: "2024"
   1 | name: 2024
             ^^^^
=== a name that is no folder's
name: my/run
source: environment
>>>
r.yaml:1:7: "my/run" cannot be the name of a folder
   1 | name: my/run
             ^^^^^^
     = letters, digits, `.`, `_` and `-`, at most 100, the first a letter or digit
=== an empty name
name:
source: environment
>>>
r.yaml:1:6: `name` is a text, not nothing
   1 | name:
            ^
=== a seed that is a text
name: r
seed: one
source: environment
>>>
r.yaml:2:7: `seed` is a whole number from 0 to 2**63 - 1, not "one"
   2 | seed: one
             ^^^
=== a negative seed
name: r
seed: -1
source: environment
>>>
r.yaml:2:7: `seed` is a whole number from 0 to 2**63 - 1, not -1
   2 | seed: -1
             ^^
=== a seed that is true
name: r
seed: true
source: environment
>>>
r.yaml:2:7: `seed` is a whole number from 0 to 2**63 - 1, not true
   2 | seed: true
             ^^^^
=== a seed with a fraction
name: r
seed: 1.5
source: environment
>>>
r.yaml:2:7: `seed` is a whole number from 0 to 2**63 - 1, not 1.5
   2 | seed: 1.5
             ^^^
=== source and streams
name: r
source: environment
streams:
  code: {source: environment}
>>>
r.yaml:2:1: a recipe has `source` or `streams`, not both
   2 | source: environment
       ^^^^^^
     = put the source into a stream: `streams.NAME.source`
=== streams as a list
name: r
streams:
  - code
>>>
r.yaml:3:3: `streams` is a map from the names of streams to their parts, not a list
   3 |   - code
         ^^^^^^
=== no stream
name: r
streams: {}
>>>
r.yaml:2:10: `streams` is a map from the names of streams to their parts, not an empty map
   2 | streams: {}
                ^^
=== names of streams
name: r
streams:
  Code: {source: environment}
  git-commits: {source: environment}
>>>
r.yaml:3:3: "Code" cannot be the name of a stream
   3 |   Code: {source: environment}
         ^^^^
     = small letters, digits and `_`, the first a letter, such as `git_commits`

r.yaml:4:3: "git-commits" cannot be the name of a stream
   4 |   git-commits: {source: environment}
         ^^^^^^^^^^^
     = small letters, digits and `_`, the first a letter, such as `git_commits`
=== an empty stream
name: r
streams:
  code:
>>>
r.yaml:3:8: stream `code` is a map with `source` and `steps`, not nothing
   3 |   code:
              ^
=== an unknown key of a stream, and no source
name: r
streams:
  code:
    sources: environment
>>>
r.yaml:4:5: a stream has no `sources`; did you mean `source`?
   4 |     sources: environment
           ^^^^^^^
     = a stream has: source, steps, optional
=== steps as a map
name: r
source: environment
steps: {line_length: {longest: 5}}
>>>
r.yaml:3:8: `steps` is a list, each step behind a `- `, not a map
   3 | steps: {line_length: {longest: 5}}
              ^^^^^^^^^^^^^^^^^^^^^^^^^^^
=== steps left empty
name: r
source: environment
steps:
>>>
r.yaml:3:7: `steps` is a list, each step behind a `- `, not nothing
   3 | steps:
             ^
=== steps as a text
name: r
source: environment
steps: line_length
>>>
r.yaml:3:8: `steps` is a list, each step behind a `- `, not "line_length"
   3 | steps: line_length
              ^^^^^^^^^^^
=== a misspelt op
name: r
source: environment
steps:
  - line_lenght: {longest: 5}
>>>
r.yaml:4:5: no op `line_lenght`; did you mean `line_length`?
   4 |   - line_lenght: {longest: 5}
           ^^^^^^^^^^^
=== an op unlike any
name: r
source: environment
steps:
  - zzz
>>>
r.yaml:4:5: no op `zzz`
   4 |   - zzz
           ^^^
     = `engine ops` lists them
=== steps of no proper form
name: r
source: environment
steps:
  - 5
  - [line_length]
  -
  - {}
>>>
r.yaml:4:5: a step is an op's name, or a name with its parameters, not 5
   4 |   - 5
           ^

r.yaml:5:5: a step is an op's name, or a name with its parameters, not a list
   5 |   - [line_length]
           ^^^^^^^^^^^^^

r.yaml:6:4: a step is an op's name, or a name with its parameters, not nothing
   6 |   -
          ^

r.yaml:7:5: a step is an op's name, or a name with its parameters, not an empty map
   7 |   - {}
           ^^
=== parameters not indented
name: r
source: environment
steps:
  - line_length:
    longest: 5
>>>
r.yaml:5:5: a step is one op, and here are 2 keys: `line_length`, `longest`
   5 |     longest: 5
           ^^^^^^^
     = indent the parameters below `line_length:`
=== two ops in one step
name: r
source: environment
steps:
  - {find_spans: {}, redact: {}}
>>>
r.yaml:4:22: a step is one op, and here are 2 keys: `find_spans`, `redact`
   4 |   - {find_spans: {}, redact: {}}
                            ^^^^^^
     = give a step an entry of its own
=== a colon too many
name: r
source: environment
steps:
  - line_length:
>>>
r.yaml:4:5: nothing follows `line_length:`
   4 |   - line_length:
           ^^^^^^^^^^^
     = without parameters, write `line_length` alone
=== parameters as a list, as a number
name: r
source: environment
steps:
  - line_length: [500]
  - near_dedup: 0.7
>>>
r.yaml:4:18: the parameters of `line_length` are a map, not a list
   4 |   - line_length: [500]
                        ^^^^^
     = line_length takes: longest, mean

r.yaml:5:17: the parameters of `near_dedup` are a map, not 0.7
   5 |   - near_dedup: 0.7
                       ^^^
     = near_dedup takes: threshold, by
=== an unknown parameter
name: r
source: environment
steps:
  - line_length: {longst: 500, mean: 80}
>>>
r.yaml:4:19: line_length has no parameter `longst`; did you mean `longest`?
   4 |   - line_length: {longst: 500, mean: 80}
                         ^^^^^^
     = line_length takes: longest, mean
=== a parameter of an op that takes none
name: r
source: {environment: {path: x}}
>>>
r.yaml:2:24: environment has no parameter `path`
   2 | source: {environment: {path: x}}
                              ^^^^
     = environment takes no parameters
=== a missing parameter
name: r
source: parquet
steps:
  - pack: {}
>>>
r.yaml:2:9: parquet needs the parameter `path`
   2 | source: parquet
               ^^^^^^^
     = parquet takes: path, rows

r.yaml:4:5: pack needs the parameter `length`
   4 |   - pack: {}
           ^^^^
     = pack takes: length
=== bounds
name: r
source: environment
steps:
  - line_length:
      longest: 500
      mean: -3
  - near_dedup: {threshold: 1.5}
>>>
r.yaml:6:13: line_length.mean: input should be greater than 0, not -3
   6 |       mean: -3
                   ^^
     = line_length takes: longest, mean

r.yaml:7:29: near_dedup.threshold: input should be less than or equal to 1, not 1.5
   7 |   - near_dedup: {threshold: 1.5}
                                   ^^^
     = near_dedup takes: threshold, by
=== types
name: r
source: environment
steps:
  - line_length: {longest: "500", mean: fast}
  - line_length: {longest: 1.5, mean: true}
  - line_length: {longest: , mean: [1]}
  - everything: {flag: yes, share: {a: 1}, nothing: 3}
>>>
r.yaml:4:28: line_length.longest: input should be a whole number, not "500"
   4 |   - line_length: {longest: "500", mean: fast}
                                  ^^^^^
     = line_length takes: longest, mean

r.yaml:4:41: line_length.mean: input should be a number, not "fast"
   4 |   - line_length: {longest: "500", mean: fast}
                                               ^^^^
     = line_length takes: longest, mean

r.yaml:5:28: line_length.longest: input should be a whole number, not 1.5
   5 |   - line_length: {longest: 1.5, mean: true}
                                  ^^^
     = line_length takes: longest, mean

r.yaml:5:39: line_length.mean: input should be a number, not true
   5 |   - line_length: {longest: 1.5, mean: true}
                                             ^^^^
     = line_length takes: longest, mean

r.yaml:6:27: line_length.longest: input should be a whole number, not nothing
   6 |   - line_length: {longest: , mean: [1]}
                                 ^
     = line_length takes: longest, mean

r.yaml:6:36: line_length.mean: input should be a number, not a list
   6 |   - line_length: {longest: , mean: [1]}
                                          ^^^
     = line_length takes: longest, mean

r.yaml:7:24: everything.flag: input should be true or false, not "yes"
   7 |   - everything: {flag: yes, share: {a: 1}, nothing: 3}
                              ^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:7:36: everything.share: input should be a number, not a map
   7 |   - everything: {flag: yes, share: {a: 1}, nothing: 3}
                                          ^^^^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:7:53: everything.nothing: input should be null, not 3
   7 |   - everything: {flag: yes, share: {a: 1}, nothing: 3}
                                                           ^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most
=== choices
name: r
source: environment
steps:
  - find_spans: {sort: mial}
  - find_spans: {sort: 3}
  - near_dedup: {by: path}
>>>
r.yaml:4:24: find_spans.sort: input should be 'mail' or 'key', not "mial"; did you mean `mail`?
   4 |   - find_spans: {sort: mial}
                              ^^^^
     = find_spans takes: sort, largest, folder

r.yaml:5:24: find_spans.sort: input should be 'mail' or 'key', not 3
   5 |   - find_spans: {sort: 3}
                              ^
     = find_spans takes: sort, largest, folder

r.yaml:6:22: near_dedup.by: input should be 'language' or 'extension', not "path"
   6 |   - near_dedup: {by: path}
                            ^^^^
     = near_dedup takes: threshold, by
=== sizes
name: r
source: environment
steps:
  - find_spans: {largest: 5XB}
  - everything: {weights: {json: 1GB, css: much, yaml: -1}}
>>>
r.yaml:4:27: find_spans.largest: input should be a number of bytes, or one with a unit such as `1GB` or `256 MiB`, not "5XB"
   4 |   - find_spans: {largest: 5XB}
                                 ^^^
     = find_spans takes: sort, largest, folder

r.yaml:5:44: everything.weights.css: input should be a number of bytes, or one with a unit such as `1GB` or `256 MiB`, not "much"
   5 |   - everything: {weights: {json: 1GB, css: much, yaml: -1}}
                                                  ^^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:5:56: everything.weights.yaml: input should be a number of bytes, or one with a unit such as `1GB` or `256 MiB`, not -1
   5 |   - everything: {weights: {json: 1GB, css: much, yaml: -1}}
                                                              ^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most
=== unions
name: r
source: environment
steps:
  - everything: {against: 3, limit: low}
  - everything: {against: [a, 3]}
>>>
r.yaml:4:27: everything.against: input should be a text or a list, not 3
   4 |   - everything: {against: 3, limit: low}
                                 ^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:4:37: everything.limit: input should be a whole number or a number, not "low"
   4 |   - everything: {against: 3, limit: low}
                                           ^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:5:31: everything.against: input should be a text, not 3
   5 |   - everything: {against: [a, 3]}
                                     ^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most
=== parameters within parameters
name: r
source: environment
steps:
  - everything:
      weights: {C++: 1GB}
      rules:
        - {at_most: 0, word: ""}
        - {word: a, colour: red}
        - 7
>>>
r.yaml:5:17: everything.weights: the key `C++`: string should match pattern '^[a-z]+$'
   5 |       weights: {C++: 1GB}
                       ^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:7:21: everything.rules.at_most: input should be greater than 0, not 0
   7 |         - {at_most: 0, word: ""}
                           ^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:7:30: everything.rules.word: string should have at least 1 character
   7 |         - {at_most: 0, word: ""}
                                    ^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:8:11: everything.rules needs the parameter `at_most`
   8 |         - {word: a, colour: red}
                 ^^^^^^^^^^^^^^^^^^^^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:8:21: everything.rules has no parameter `colour`
   8 |         - {word: a, colour: red}
                           ^^^^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:9:11: everything.rules: input should be a map, not 7
   9 |         - 7
                 ^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most
=== what an op itself refuses
name: r
source: environment
steps:
  - everything: {count: 3}
  - everything: {least: 5, most: 4}
  - everything: {listed: no/such/file}
>>>
r.yaml:4:25: everything.count: 3 is odd
   4 |   - everything: {count: 3}
                               ^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:5:5: everything: least is above most
   5 |   - everything: {least: 5, most: 4}
           ^^^^^^^^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most

r.yaml:6:5: everything: No such file or directory: no/such/file
   6 |   - everything: {listed: no/such/file}
           ^^^^^^^^^^
     = everything takes: flag, share, count, against, weights, rules, nothing, limit, names, listed, least, most
=== a source among the steps
name: r
source: environment
steps:
  - parquet: {path: x}
>>>
r.yaml:4:5: `parquet` is a source: it stands under `source:`, not among the steps
   4 |   - parquet: {path: x}
           ^^^^^^^
=== a filter, a global op and a job as sources
name: r
streams:
  a: {source: line_length}
  b: {source: near_dedup}
  c: {source: {pack: {length: 5}}}
>>>
r.yaml:3:15: `line_length` is a filter, not a source
   3 |   a: {source: line_length}
                     ^^^^^^^^^^^
     = sources: environment, parquet

r.yaml:4:15: `near_dedup` is a global op, not a source
   4 |   b: {source: near_dedup}
                     ^^^^^^^^^^
     = sources: environment, parquet

r.yaml:5:16: `pack` is a job, not a source
   5 |   c: {source: {pack: {length: 5}}}
                      ^^^^
     = sources: environment, parquet
=== a misspelt source
name: r
source: {parqet: {path: x}}
>>>
r.yaml:2:10: no source `parqet`; did you mean `parquet`?
   2 | source: {parqet: {path: x}}
                ^^^^^^
     = sources: environment, parquet
=== a source of no proper form
name: r
source: [environment]
>>>
r.yaml:2:9: a source is an op's name, or a name with its parameters, not a list
   2 | source: [environment]
               ^^^^^^^^^^^^^
=== a source with a colon too many
name: r
source:
  environment:
>>>
r.yaml:3:3: nothing follows `environment:`
   3 |   environment:
         ^^^^^^^^^^^
     = without parameters, write `environment` alone
=== a measure among the steps
name: r
source: environment
steps:
  - line_measures
>>>
r.yaml:4:5: `line_measures` is a measure: the engine puts it in where a step reads its columns
   4 |   - line_measures
           ^^^^^^^^^^^^^
     = leave this step out
=== a job in a stream
name: r
streams:
  code:
    source: environment
    steps:
      - pack: {length: 5}
>>>
r.yaml:6:9: `pack` is a job: it runs once, on what all streams leave
   6 |       - pack: {length: 5}
               ^^^^
     = put it at the end of the recipe's own `steps`
=== a job above other steps
name: r
source: environment
steps:
  - pack: {length: 5}
  - line_length
  - pack: {length: 5}
  - find_spans
>>>
r.yaml:4:5: `pack` is a job: it runs once, after all steps that work on documents
   4 |   - pack: {length: 5}
           ^^^^
     = put it below `find_spans`

r.yaml:6:5: `pack#2` is a job: it runs once, after all steps that work on documents
   6 |   - pack: {length: 5}
           ^^^^
     = put it below `find_spans`
=== the name of a second use
name: r
source: environment
steps:
  - line_length
  - line_length#2
>>>
r.yaml:5:5: no op `line_length#2`; did you mean `line_length`?
   5 |   - line_length#2
           ^^^^^^^^^^^^^
=== an op of a broken module
name: r
source: environment
steps:
  - wilted: {x: 1}
>>>
r.yaml:4:5: `wilted` cannot be used: `wrong_ops.wilted` does not import: TypeError: Wilted.drop: annotate content, return; the engine reads columns and reasons from the signature
   4 |   - wilted: {x: 1}
           ^^^^^^
=== two ops of one name
name: r
source: environment
steps:
  - twin
>>>
r.yaml:4:5: two ops are called `twin`, in `wrong_ops.twin_a` and `wrong_ops.twin_b`; rename one of them
   4 |   - twin
           ^^^^
=== a column that a step further down writes
name: r
source: environment
steps:
  - redact
  - find_spans
>>>
r.yaml:4:5: redact reads `spans`, which no earlier step writes
   4 |   - redact
           ^^^^^^
     = `find_spans` writes it; move it above this step
=== a column that another op writes
name: r
source: environment
steps:
  - line_length
  - redact
  - redact
>>>
r.yaml:5:5: redact reads `spans`, which no earlier step writes
   5 |   - redact
           ^^^^^^
     = `find_spans` writes it; put it above this step
=== a column that a measure makes of one that is not there
name: r
source: environment
steps:
  - few_spans
>>>
r.yaml:4:5: few_spans reads `spans_a_line`, for which the engine measures `spans`, which no earlier step writes
   4 |   - few_spans
           ^^^^^^^^^
     = `find_spans` writes it; put it above this step
=== a column that nothing writes
name: r
source: environment
steps:
  - orphan
  - near_dedup
  - need_key
>>>
r.yaml:4:5: orphan reads `parents`, which no earlier step writes
   4 |   - orphan
           ^^^^^^
     = no op writes it; `wrong_ops.wilted` does not import: TypeError: Wilted.drop: annotate content, return; the engine reads columns and reasons from the signature

r.yaml:6:5: need_key reads `key`, which no earlier step writes
   6 |   - need_key
           ^^^^^^^^
     = no op writes it; `wrong_ops.wilted` does not import: TypeError: Wilted.drop: annotate content, return; the engine reads columns and reasons from the signature
=== a column that only one stream has
name: r
streams:
  code:
    source: environment
    steps: [find_spans]
  commits:
    source: environment
  issues:
    source: environment
steps:
  - redact
>>>
r.yaml:11:5: redact reads `spans`, which no earlier step in streams `commits`, `issues` writes
  11 |   - redact
           ^^^^^^
     = `find_spans` writes it; put it above this step
=== a column that no stream has
name: r
streams:
  code: {source: environment}
  commits: {source: environment}
steps:
  - redact
>>>
r.yaml:6:5: redact reads `spans`, which no earlier step writes
   6 |   - redact
           ^^^^^^
     = `find_spans` writes it; put it above this step
=== a misspelt op that would have written the column
name: r
source: environment
steps:
  - find_span
  - redact
>>>
r.yaml:4:5: no op `find_span`; did you mean `find_spans`?
   4 |   - find_span
           ^^^^^^^^^
=== two keys alike
name: r
source: environment
name: s
steps:
  - line_length: {mean: 5, mean: 6}
>>>
r.yaml:3:1: the key `name` stands here again, first in line 1
   3 | name: s
       ^^^^

r.yaml:5:28: the key `mean` stands here again, first in line 5
   5 |   - line_length: {mean: 5, mean: 6}
                                  ^^^^
=== a tab
name: r
source: environment
steps:
→- line_length
>>>
r.yaml:4:1: a tab; YAML indents by spaces alone
   4 |  - line_length
       ^
=== an alias
name: r
source: &here environment
steps: [*here]
>>>
r.yaml:2:9: `&here` is an anchor
   2 | source: &here environment
               ^^^^^^^^^^^^^^^^^
     = recipes have no anchors and aliases

r.yaml:3:9: `*here` is an alias
   3 | steps: [*here]
               ^^^^^
     = write the value out; as a text, "*here"
=== a merge key
name: r
source:
  parquet: {<<: {path: x}, rows: 5}
>>>
r.yaml:3:3: parquet needs the parameter `path`
   3 |   parquet: {<<: {path: x}, rows: 5}
         ^^^^^^^
     = parquet takes: path, rows

r.yaml:3:13: `<<` is a merge key
   3 |   parquet: {<<: {path: x}, rows: 5}
                   ^^
     = recipes have no merge keys; write the keys out
=== a tag
name: r
source: !!python/object:os.system environment
steps:
  - redact: {by: !x y}
>>>
r.yaml:2:9: `!!python/object:os.system` is a tag
   2 | source: !!python/object:os.system environment
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     = recipes have no tags; put a text that begins with `!` in quotes

r.yaml:4:5: redact reads `spans`, which no earlier step writes
   4 |   - redact: {by: !x y}
           ^^^^^^
     = `find_spans` writes it; put it above this step

r.yaml:4:18: `!x` is a tag
   4 |   - redact: {by: !x y}
                        ^^^^
     = recipes have no tags; put a text that begins with `!` in quotes
=== a second document
name: r
source: environment
---
name: s
>>>
r.yaml:3:1: a second document; a recipe is one
   3 | ---
       ^
=== a list that is not closed
name: r
source: environment
steps: [line_length,
>>>
r.yaml:4:1: the text ends within a list or a map
=== a map that is not closed
name: r
source: {parquet: {path: x}
steps: []
>>>
r.yaml:2:9: this map is not closed: a `,` or `}` is missing
   2 | source: {parquet: {path: x}
               ^
=== a quote that is not closed
name: "r
source: environment
>>>
r.yaml:1:7: this quote is not closed
   1 | name: "r
             ^
=== a colon in a text
name: r
source: {parquet: {path: x}}
steps:
  - redact: {by: a: b}
>>>
r.yaml:4:19: a `:` cannot stand here; put a text that holds `: ` in quotes, and indent the keys of one map alike
   4 |   - redact: {by: a: b}
                         ^
=== a colon in a plain text
name: r: s
source: environment
>>>
r.yaml:1:8: a `:` cannot stand here; put a text that holds `: ` in quotes, and indent the keys of one map alike
   1 | name: r: s
              ^
=== a key without a colon
name: r
source
steps: []
>>>
r.yaml:2:1: a `:` is missing behind this key
   2 | source
       ^
=== indentation
name: r
source: environment
steps:
  - line_length
 - redact
>>>
r.yaml:5:2: this line's indentation fits none above it
   5 |  - redact
        ^
=== an unknown escape
name: r
source: {parquet: {path: "C:\data"}}
>>>
r.yaml:2:30: no escape in double quotes: 'd'; single quotes take it as it is
   2 | source: {parquet: {path: "C:\data"}}
                                    ^
=== texts that need quotes
name: r
source: {parquet: {path: *.parquet}}
>>>
r.yaml:2:26: a text that begins with `*` or `&` stands in quotes
   2 | source: {parquet: {path: *.parquet}}
                                ^
=== a text that begins with a sign
name: r
source: {parquet: {path: @home}}
>>>
r.yaml:2:26: a text cannot begin with `@`; put it in quotes
   2 | source: {parquet: {path: @home}}
                                ^
=== keys that are none
name: r
source: environment
[a, b]: c
steps: [{: d}]
>>>
r.yaml:4:10: a key is missing in front of this `:`
   4 | steps: [{: d}]
                ^
=== too deep
name: r
source: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[environment]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
>>>
r.yaml:2:48: nested more than 40 deep
   2 | source: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[environment]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
                                                      ^
=== half a character
name: r
source: {parquet: {path: "\ud800"}}
>>>
r.yaml:2:26: half of a surrogate pair, which is no character
   2 | source: {parquet: {path: "\ud800"}}
                                ^^^^^^^^
=== a very long line
name: r
source: {parquet: {path: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", rowz: 5, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: 6}}
>>>
r.yaml:2:127: parquet has no parameter `rowz`; did you mean `rows`?
   2 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", rowz: 5, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: 6…
                                               ^^^^
     = parquet takes: path, rows

r.yaml:2:136: parquet has no parameter `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb`
   2 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", rowz: 5, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: 6}}
                                                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     = parquet takes: path, rows
=== wide characters
name: r
source: {parquet: {path: 漢字の道, rowz: 5}}
>>>
r.yaml:2:32: parquet has no parameter `rowz`; did you mean `rows`?
   2 | source: {parquet: {path: 漢字の道, rowz: 5}}
                                          ^^^^
     = parquet takes: path, rows
=== a setting without a value
name: r
source: environment
--set seed
--set
>>>
--set: there is no `=`
     | seed
       ^^^^
     = a setting is written key=value, such as `seed=3` or `steps.line_length.longest=500`

--set: there is no `=`
     = a setting is written key=value, such as `seed=3` or `steps.line_length.longest=500`
=== settings with unfinished names
name: r
source: environment
--set =3
--set steps..longest=3
--set .seed=3
--set "seed=3
>>>
--set: a name is missing or unfinished here
     | =3
       ^
     = a setting is written key=value, such as `seed=3` or `steps.line_length.longest=500`

--set: a name is missing or unfinished here
     | steps..longest=3
             ^^^^^^^^^
     = a setting is written key=value, such as `seed=3` or `steps.line_length.longest=500`

--set: a name is missing or unfinished here
     | .seed=3
       ^^^^^^
     = a setting is written key=value, such as `seed=3` or `steps.line_length.longest=500`

--set: a name is missing or unfinished here
     | "seed=3
       ^^^^^^
     = a setting is written key=value, such as `seed=3` or `steps.line_length.longest=500`
=== settings of what a recipe does not have
name: r
source: environment
--set sed=3
--set seed.more=3
--set streams.code.source.parquet.path=x
>>>
--set: a recipe has no `sed`; did you mean `seed`?
     | sed=3
       ^^^
     = a recipe has: name, seed, source, streams, steps

--set: `seed` has nothing below it
     | seed.more=3
            ^^^^

--set: this recipe has no streams: write `source.…` or `steps.…`
     | streams.code.source.parquet.path=x
       ^^^^^^^
=== settings of streams
name: r
streams:
  code: {source: environment, steps: [line_length]}
--set streams.cod.source.parquet.path=s3://x
--set streams=3
--set streams.code=3
--set streams.code.step.line_length.longest=3
--set source.parquet.path=x
>>>
--set: no stream `cod`; did you mean `code`?
     | streams.cod.source.parquet.path=s3://x
               ^^^
     = streams: code

--set: say which stream: `streams.NAME.…`
     | streams=3
       ^^^^^^^
     = streams: code

--set: a stream has `source` and `steps`
     | streams.code=3
               ^^^^

--set: a stream has `source` and `steps`; did you mean `steps`?
     | streams.code.step.line_length.longest=3
                    ^^^^

--set: this recipe has streams: `streams.NAME.source`
     | source.parquet.path=x
       ^^^^^^
     = streams: code
=== settings of steps
name: r
source: environment
steps: [line_length, line_length, {everything: {share: 0.1, rules: []}}]
--set steps.line_lenght.longest=3
--set steps.line_length#3.longest=3
--set steps.0.longest=3
--set steps.4.longest=3
--set steps.everything.share.more=3
--set steps.everything.rules.1.word=x
>>>
--set: no step `line_lenght`; did you mean `line_length`?
     | steps.line_lenght.longest=3
             ^^^^^^^^^^^
     = steps, counted from 1: line_length, line_length#2, everything

--set: no step `line_length#3`; did you mean `line_length#2`?
     | steps.line_length#3.longest=3
             ^^^^^^^^^^^^^
     = steps, counted from 1: line_length, line_length#2, everything

--set: no step `0`
     | steps.0.longest=3
             ^
     = steps, counted from 1: line_length, line_length#2, everything

--set: no step `4`
     | steps.4.longest=3
             ^
     = steps, counted from 1: line_length, line_length#2, everything

--set: `share` is 0.1 and has nothing below it
     | steps.everything.share.more=3
                              ^^^^

--set: `rules` is a list and has nothing below it
     | steps.everything.rules.1.word=x
                              ^
=== a step of a recipe without steps
name: r
source: environment
--set steps.line_length.longest=3
>>>
--set: no step `line_length`
     | steps.line_length.longest=3
             ^^^^^^^^^^^
     = there are no steps
=== settings that the ops refuse
name: r
source: environment
steps: [line_length, line_length]
--set source.parquet.pth=x
--set steps.line_length.longst=500
--set steps.2.mean=-3
--set seed=-1
--set name=a/b
>>>
--set: "a/b" cannot be the name of a folder
     | name=a/b
            ^^^
     = letters, digits, `.`, `_` and `-`, at most 100, the first a letter or digit

--set: `seed` is a whole number from 0 to 2**63 - 1, not -1
     | seed=-1
            ^^

--set: parquet has no parameter `pth`; did you mean `path`?
     | source.parquet.pth=x
                      ^^^
     = parquet takes: path, rows

--set: line_length has no parameter `longst`; did you mean `longest`?
     | steps.line_length.longst=500
                         ^^^^^^
     = line_length takes: longest, mean

--set: line_length.mean: input should be greater than 0, not -3
     | steps.2.mean=-3
                    ^^
     = line_length takes: longest, mean
=== settings that are no YAML
name: r
source: environment
steps: [redact]
--set steps.redact.by=*.py
--set steps.redact.by=[a
--set steps.redact.by=!a
--set steps.redact.by="a
--set steps.redact.by=a: b: c
>>>
--set: a text that begins with `*` or `&` stands in quotes
     | steps.redact.by=*.py
                       ^

--set: this list is not closed: a `,` or `]` is missing
     | steps.redact.by=[a
                       ^

--set: `!a` is a tag
     | steps.redact.by=!a
                       ^^
     = recipes have no tags; put a text that begins with `!` in quotes

--set: this quote is not closed
     | steps.redact.by="a
                       ^

--set: a `:` cannot stand here; put a text that holds `: ` in quotes, and indent the keys of one map alike
     | steps.redact.by=a: b: c
                           ^

r.yaml:3:9: redact reads `spans`, which no earlier step writes
   3 | steps: [redact]
               ^^^^^^
     = `find_spans` writes it; put it above this step
=== a source that a setting names
name: r
source: environment
--set source.parqet.path=x
>>>
--set: no source `parqet`; did you mean `parquet`?
     | source.parqet.path=x
              ^^^^^^
     = sources: environment, parquet
=== everything at once
name: r s
sede: 1
source: {parquet: {pth: x}}
steps:
  - line_length: {longst: 500, mean: -3}
  - redact
  - near_dedup: {by: languages}
  - zzz
  - pack: {length: 0}
  - few_spans
--set steps.near_dedup.threshold=2
>>>
--set: near_dedup.threshold: input should be less than or equal to 1, not 2
     | steps.near_dedup.threshold=2
                                  ^
     = near_dedup takes: threshold, by

r.yaml:1:7: "r s" cannot be the name of a folder
   1 | name: r s
             ^^^
     = letters, digits, `.`, `_` and `-`, at most 100, the first a letter or digit

r.yaml:2:1: a recipe has no `sede`; did you mean `seed`?
   2 | sede: 1
       ^^^^
     = a recipe has: name, seed, source, streams, steps

r.yaml:3:20: parquet has no parameter `pth`; did you mean `path`?
   3 | source: {parquet: {pth: x}}
                          ^^^
     = parquet takes: path, rows

r.yaml:5:19: line_length has no parameter `longst`; did you mean `longest`?
   5 |   - line_length: {longst: 500, mean: -3}
                         ^^^^^^
     = line_length takes: longest, mean

r.yaml:5:38: line_length.mean: input should be greater than 0, not -3
   5 |   - line_length: {longst: 500, mean: -3}
                                            ^^
     = line_length takes: longest, mean

r.yaml:6:5: redact reads `spans`, which no earlier step writes
   6 |   - redact
           ^^^^^^
     = `find_spans` writes it; put it above this step

r.yaml:7:22: near_dedup.by: input should be 'language' or 'extension', not "languages"; did you mean `language`?
   7 |   - near_dedup: {by: languages}
                            ^^^^^^^^^
     = near_dedup takes: threshold, by

r.yaml:8:5: no op `zzz`
   8 |   - zzz
           ^^^
     = `engine ops` lists them

r.yaml:9:5: `pack` is a job: it runs once, after all steps that work on documents
   9 |   - pack: {length: 0}
           ^^^^
     = put it below `few_spans`

r.yaml:9:20: pack.length: input should be greater than 0, not 0
   9 |   - pack: {length: 0}
                          ^
     = pack takes: length
=== a value left out
name: r
source: environment
steps: [line_length,, redact]
>>>
r.yaml:3:21: a value is missing here
   3 | steps: [line_length,, redact]
                           ^
=== a bracket too many
name: r
source: environment
steps: [line_length]]
>>>
r.yaml:3:21: a `]` cannot stand here
   3 | steps: [line_length]]
                           ^
=== a tab within a step
name: r
source: environment
steps:
  - line_length:
  →longest: 3
>>>
r.yaml:5:3: a tab; YAML indents by spaces alone
   5 |    longest: 3
         ^
=== a list behind its key
name: r
source: environment
steps: - line_length
>>>
r.yaml:3:8: a `- ` cannot stand here; a list begins on a line of its own
   3 | steps: - line_length
              ^
=== texts that begin with signs of YAML
%x: r
>>>
r.yaml:1:1: a text that begins with `%` stands in quotes
   1 | %x: r
       ^
=== a bracket that opens nothing
name: r
}
>>>
r.yaml:2:1: a `}` cannot stand here
   2 | }
       ^
=== a text that begins with a bar
name: |x
>>>
r.yaml:1:7: a text that begins with `|` or `>` stands in quotes
   1 | name: |x
             ^
=== a text that begins with a question mark
name: ? x
>>>
r.yaml:1:7: a text that begins with `? ` stands in quotes
   1 | name: ? x
             ^
"""
"""A case is its title, the recipe, its settings (`--set` lines), and behind `>>>` what is printed; `→` is a tab."""


def wrong() -> Iterator[tuple[str, str, list[str], str]]:
    """Title, recipe, settings and printed text of each case."""
    for case in WRONG.split("=== ")[1:]:
        given, _, shown = case.partition("\n>>>\n")
        title, *lines = given.replace("→", "\t").splitlines()
        settings = [line[6:] for line in lines if line.startswith("--set")]
        text = "".join(f"{line}\n" for line in lines if not line.startswith("--set"))
        yield title, text, settings, shown.rstrip("\n")

"""How the tests read documents: as somebody who types what is shown."""

from tests.documents import Block, arguments, commands, missing, statements

LOOP = """for part in a b; do
    tokensieve compare $part.jsonl --arms full \\
        --seeds 0
done
tokensieve status > found.txt
"""


def test_a_statement_goes_on_over_a_quotation_and_a_backslash():
    text = """tokensieve sql "select 1
    from tokens"   # a comment
python -c "print(1)" \\
    --flag

# nothing but a comment
"""

    assert [arguments(each) for each in statements(text)] == [
        ["sql", "select 1\nfrom tokens"],
        None,
    ]


def test_a_loop_is_one_statement_of_the_shell_and_the_commands_in_it_are_found():
    assert statements(LOOP) == [LOOP]
    assert arguments(LOOP) is None
    assert commands(LOOP) == [
        ["compare", "$part.jsonl", "--arms", "full", "--seeds", "0"],
        ["status"],
    ]


def test_what_is_piped_needs_a_shell():
    assert arguments("tokensieve status | head -n 1") is None
    assert arguments("tokensieve sql 'select 1 > 0'") == ["sql", "select 1 > 0"]


def test_a_comment_says_one_thing_of_its_block():
    block = Block("sh", "docker build .\n", "not run: it needs a container engine", follows=False)

    assert block.says("not run") == "it needs a container engine"
    assert block.says("exit code") is None


def test_figures_and_ids_may_differ_from_what_is_shown_and_words_may_not():
    said = "run rho-0123abcd\n  tokens   1,200 read = 40.5 %\n/home/a/workspace: 3.5 MB\n"

    assert missing("run rho-99990000\n  tokens 7 read = 1 %\n…/workspace: 12 kB\n", said) == []
    assert missing("run sieve-99990000\n  tokens 7 kept = 1 %\n", said) == [
        "run sieve0",
        "tokens 0 kept = 0 %",
    ]

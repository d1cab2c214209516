from __future__ import annotations

import io

from rich.console import Console

from lowres.progress import Silent, Terminal


def test_news_and_bars_go_to_standard_error(capsys):
    terminal = Terminal()
    terminal.say("train/1: [done] in /a/b")
    terminal.say("word " * 40)
    with terminal.bar("train, seed 1", 10) as advance:
        for n in (2, 2, 2, 0, 4):
            advance(n)
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.splitlines() == [
        "train/1: [done] in /a/b",  # brackets are no markup
        "word " * 40,  # and nothing is wrapped
        *(f"train, seed 1: {percent}%" for percent in (25, 50, 100)),
    ]


def test_a_bar_is_drawn_while_it_lasts():
    terminal = Terminal()
    screen = io.StringIO()
    terminal.console = Console(file=screen, force_terminal=True, width=100)
    with terminal.bar("evaluate, seed 2", 4) as advance:
        advance(3)
    assert "evaluate, seed 2" in screen.getvalue()
    assert "75%" in screen.getvalue()


def test_silence(capsys):
    silent = Silent()
    silent.say("anything")
    with silent.bar("work", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")

from __future__ import annotations

import os

import datasets
import transformers

from lowres import quiet


def test_libraries_below_keep_quiet():
    before = transformers.utils.logging.get_verbosity()
    try:
        quiet.libraries()
        assert datasets.are_progress_bars_disabled()
        assert transformers.utils.logging.get_verbosity() == transformers.logging.ERROR
    finally:
        transformers.utils.logging.set_verbosity(before)


def test_the_caller_has_them_back_after_a_model_is_loaded():
    said = transformers.utils.logging
    before, bars = said.get_verbosity(), said.is_progress_bar_enabled()
    try:
        said.set_verbosity_info()
        said.enable_progress_bar()
        with quiet.loading():
            assert said.get_verbosity() == transformers.logging.ERROR
            assert not said.is_progress_bar_enabled()
        assert said.get_verbosity() == transformers.logging.INFO
        assert said.is_progress_bar_enabled()
    finally:
        said.set_verbosity(before)
        if not bars:
            said.disable_progress_bar()


def test_compiled_code_says_nothing(capfd):
    with quiet.native():
        os.write(2, b"Failed to get cluster ID")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"

"""What every test has: no network, the shared data if it is there, three tiny encoders.

The encoders are random but whole folders: config, safetensors and a fast tokenizer of its family,
trained here on a few sentences in six scripts, so that loading them is loading a real base.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Set before any import of the libraries that read them. LOWRES_CACHE is left as it is: rebuilding
# e5-small takes seconds, and what the user already has is hash-checked.
_hf_home = tempfile.TemporaryDirectory(prefix="lowres-tests-hf-")
atexit.register(_hf_home.cleanup)
os.environ["HF_HOME"] = _hf_home.name
os.environ.pop("HF_TOKEN", None)
for _name, _value in {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # two workers on two cores; and sums come out the same everywhere
}.items():
    os.environ.setdefault(_name, _value)

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile(
    "lowres", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lowres")

SENTENCES = (
    "The teacher opened the window because the room was hot.",
    "Where is the market, and when does it open?",
    "They played football near the river in Nairobi on Sunday.",
    "The doctor said the medicine costs 250 shillings.",
    "Mwalimu alifungua dirisha kwa sababu chumba kilikuwa na joto.",
    "Soko liko wapi, na linafunguliwa saa ngapi?",
    "Olùkọ́ ṣí fèrèsé nítorí pé yàrá náà gbóná.",
    "Níbo ni ọjà wà, ìgbà wo ni ó máa ń ṣí?",
    "Malami ya buɗe taga saboda ɗakin yana da zafi.",
    "El maestro abrió la ventana porque hacía calor en la habitación.",
    "अध्यापक ने खिड़की खोली क्योंकि कमरा गरम था।",
    "बाज़ार कहाँ है और कब खुलता है?",
    "መምህሩ መስኮቱን ከፈተ ምክንያቱም ክፍሉ ሞቃት ነበር።",
    "ገበያው የት ነው፣ መቼስ ይከፈታል?",
    "فتح المعلم النافذة لأن الغرفة كانت حارة.",
    "أين السوق ومتى يفتح؟",
    "老师打开了窗户,因为房间很热。",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-goldens",
        action="store_true",
        help="write what the tests got over the golden files, instead of comparing",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: the text is what the file holds, to the letter.

    A bare name lies in tests/goldens; one with a slash counts from the root of the repository.
    """

    def compare(name: str, text: str) -> None:
        file = REPOSITORY / (name if "/" in name else f"tests/goldens/{name}")
        if request.config.getoption("--regenerate-goldens"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"no {file}: run pytest with --regenerate-goldens and read it"
        assert text == file.read_text(encoding="utf-8"), (
            f"{name} changed; if that is meant, run pytest with --regenerate-goldens"
        )

    return compare


@pytest.fixture(autouse=True)
def _the_same_chance() -> None:
    """What torch draws without a seed of its own is the same whatever test ran before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, or a skip that says how to get it."""
    folder = Path(os.environ.get("LOWRES_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}; set LOWRES_DATA to their folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def sentences() -> tuple[str, ...]:
    """What the tiny tokenizers were trained on: nine languages, six scripts."""
    return SENTENCES


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random BERT (2 layers × 32) with a cased WordPiece tokenizer."""
    import tiny_tokenizers
    from transformers import BertConfig

    tokenizer = tiny_tokenizers.wordpiece(SENTENCES)
    return _saved(tmp_path_factory, "tiny-bert", BertConfig, tokenizer)


@pytest.fixture(scope="session")
def tiny_m2m(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random M2M-100 with its own tokenizer."""
    import tiny_translator

    return tiny_translator.m2m(tmp_path_factory.mktemp("m2m"))


@pytest.fixture(scope="session")
def tiny_unigram_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random XLM-R with a Unigram tokenizer, special ids as in the real one."""
    import tiny_tokenizers
    from transformers import XLMRobertaConfig

    tokenizer = tiny_tokenizers.unigram(SENTENCES)
    return _saved(tmp_path_factory, "tiny-xlm-roberta", XLMRobertaConfig, tokenizer)


@pytest.fixture(scope="session")
def tiny_bpe_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random RoBERTa with a byte-level BPE tokenizer."""
    import tiny_tokenizers
    from transformers import RobertaConfig

    tokenizer = tiny_tokenizers.bpe(SENTENCES)
    return _saved(tmp_path_factory, "tiny-roberta", RobertaConfig, tokenizer)


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of `tiny_base`."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return tokenizer


def _saved(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    config_class: type[PretrainedConfig],
    tokenizer: PreTrainedTokenizerBase,
) -> Path:
    import torch
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("bases") / name
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        # RoBERTa counts positions from the padding id on: 128 tokens need 130 rows.
        max_position_embeddings=130,
        type_vocab_size=2 if config_class.model_type == "bert" else 1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=["tiny_base", "tiny_unigram_base", "tiny_bpe_base"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(request.getfixturevalue(request.param))

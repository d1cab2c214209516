"""The Hub path with the real clients, against a Hub on the loopback.

The clients read HF_ENDPOINT when they are imported, so the loads run in a process of their own.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub, serve

from lowres import hub_data
from lowres.errors import DataError, HubError
from lowres.locations import Origin
from lowres.recipe_data import DataSource

LOADS = """
import json, sys
from lowres import hub_data
from lowres.errors import LowresError
from lowres.locations import Origin
from lowres.recipe_data import DataSource

for line in sys.stdin:
    spec = json.loads(line)
    origin = Origin(DataSource.model_validate(spec), "data", "swh_Latn")
    try:
        opened = hub_data.open_set(origin)
        table = opened.table(origin, "dev")
        print(json.dumps({
            "commit": opened.commit, "notes": opened.notes, "source": table.source,
            "splits": sorted(opened.splits), "columns": table.columns, "rows": list(table.rows),
            "where": table.where(0),
        }))
    except LowresError as error:
        print(json.dumps({"error": str(error), "type": type(error).__name__}))
"""
CARD = b"""---
configs:
- config_name: swa
  data_files:
  - {split: train, path: swa/train.tsv}
  - {split: validation, path: swa/dev.tsv}
  - {split: test, path: swa/test.tsv}
---
"""
ROWS = b"id\tcategory\ttext\n7\tsports\tMpira\n8\thealth\tDawa\n"


def parquet() -> bytes:
    """Three rows with class numbers, as the Hub's conversion of a script writes them."""
    features = {
        "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
        "ner_tags": {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "List"},
    }
    table = pa.table({"tokens": [["Ali", "yuko"]], "ner_tags": [[1, 0]]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return sink.getvalue()


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve(Hub()) as hub:
        files = {f"swa/{split}.tsv": ROWS for split in ("train", "dev", "test")}
        hub.add("masakhane/topics", {"README.md": CARD, **files})
        converted = {f"swa/{split}/0000.parquet": parquet() for split in ("train", "validation")}
        converted["swa/partial-test/0000.parquet"] = parquet()
        hub.add("masakhane/entities", {"entities.py": b"raise SystemExit"}, parquet=converted)
        hub.add("masakhane/scripted", {"scripted.py": b"raise SystemExit"})
        hub.add("masakhane/gated", {"README.md": CARD})
        hub.repositories["masakhane/gated"].gated = True
        yield hub


@pytest.fixture(scope="module")
def hf_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf-home")


def opened(
    endpoint: str, home: Path, *specs: dict[str, Any], folder: Path | None = None
) -> list[dict[str, Any]]:
    """Open every data set in one fresh process."""
    repository = Path(hub_data.__file__).parent.parent
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(repository),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOADS],
        input="".join(json.dumps(spec) + "\n" for spec in specs),
        env=environment,
        cwd=folder or home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


NAMES = {"swh_Latn": "swa"}


def test_a_data_set_is_read_at_its_commit_and_again_without_a_network(
    hub: Hub, hf_home: Path, tmp_path: Path
) -> None:
    # A folder of the same name lies here: it is not the data set.
    (tmp_path / "masakhane" / "topics").mkdir(parents=True)
    spec = {"hub": "masakhane/topics", "config": "{lang}", "names": NAMES}
    commit = hub.repositories["masakhane/topics"].revisions["main"]
    (first,) = opened(hub.endpoint, hf_home, spec, folder=tmp_path)
    assert first == {
        "commit": commit,
        "notes": [],
        "source": f"masakhane/topics@{commit}:swa/validation",
        "splits": ["test", "train", "validation"],
        "columns": ["id", "category", "text"],
        "rows": [["7", "sports", "Mpira"], ["8", "health", "Dawa"]],
        "where": f"masakhane/topics@{commit}:swa/validation row 1",
    }
    other = "0" * 40
    again, pinned, elsewhere = opened(
        "http://127.0.0.1:9",
        hf_home,
        spec,
        {**spec, "revision": commit},
        {**spec, "revision": other},
    )
    assert again["rows"] == pinned["rows"] == first["rows"]
    assert again["commit"] == pinned["commit"] == commit
    assert again["notes"] == [
        "no network: masakhane/topics read from the cache, at the commit loaded last"
    ]
    assert f"the cache holds masakhane/topics at {commit}, not at {other}" in elsewhere["error"]


def test_a_script_is_read_from_the_converted_branch(hub: Hub, hf_home: Path) -> None:
    spec = {"hub": "masakhane/entities", "config": "{lang}", "names": NAMES}
    read, unnamed = opened(
        hub.endpoint,
        hf_home,
        spec,
        {**spec, "names": {}},
    )
    converted = hub.repositories["masakhane/entities"].revisions["refs/convert/parquet"]
    assert read["commit"] == converted
    assert read["columns"] == ["tokens", "ner_tags"]
    assert read["rows"] == [[["Ali", "yuko"], ["B-PER", "O"]]]
    assert read["splits"] == ["test", "train", "validation"]
    script, partial = read["notes"]
    assert f"read from refs/convert/parquet at {converted}" in script
    assert "only the first part" in partial
    assert "no configuration 'swh_Latn' at refs/convert/parquet; it has swa" in unnamed["error"]


def test_what_the_hub_does_not_give(hub: Hub, hf_home: Path, tmp_path: Path) -> None:
    missing, gated, revision, config, scripted = opened(
        hub.endpoint,
        hf_home,
        {"hub": "masakhane/nowhere"},
        {"hub": "masakhane/gated"},
        {"hub": "masakhane/topics", "config": "swa", "revision": "v9"},
        {"hub": "masakhane/topics", "config": "yor"},
        {"hub": "masakhane/scripted", "config": "swa"},
    )
    assert "masakhane/nowhere does not exist on the Hub" in missing["error"]
    assert "hf auth login" in gated["error"]
    assert "is gated" in gated["error"]
    assert "data.revision: masakhane/topics has no revision 'v9'" in revision["error"]
    assert "masakhane/topics (yor) cannot be loaded" in config["error"]
    assert "swa" in config["error"]
    assert "only a loading script" in scripted["error"]
    for answer in (missing, gated, config, scripted):
        assert "data.files=" in answer["error"]
    (offline,) = opened("http://127.0.0.1:9", tmp_path, {"hub": "masakhane/topics"})
    assert "no network, and masakhane/topics is not in the cache" in offline["error"]
    assert "data.files=" in offline["error"]
    for answer in (missing, gated, revision, config, scripted, offline):
        assert answer["type"] == "HubError"
        assert "\n" not in answer["error"]


def test_templates_of_configurations() -> None:
    spec = DataSource(hub="masakhane/topics", config="{lang}_x", names={"swh_Latn": "swa"})
    assert hub_data.config_name(Origin(spec, "data", "swh_Latn")) == "swa_x"
    hub_data.check_config(spec, "data", ("swh_Latn", "yor_Latn"))
    one = DataSource(hub="masakhane/topics", config="swa")
    hub_data.check_config(one, "data", ("swh_Latn",))
    with pytest.raises(HubError, match=r"data.config has no \{lang\}"):
        hub_data.check_config(one, "data", ("swh_Latn", "yor_Latn"))
    with pytest.raises(DataError, match=r"unknown placeholder \{split\}"):
        hub_data.check_config(
            DataSource(hub="masakhane/topics", config="{split}"), "data", ("swh_Latn",)
        )

"""What publishing asks of the Hub, one call at a time."""

from __future__ import annotations

import errno
import re

import pytest
import tiny_run
from hub_cases import READER, TOKEN, hub_in_use
from publishing import Listening

from lowres import hub_retries, hub_upload
from lowres.errors import HubError, ReloadError, RunError
from lowres.hub_upload import Commit, Uploader

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
NAME = "ada/topics"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_in_use(monkeypatch, tmp_path, TOKEN) as served:
        yield served


@pytest.fixture
def waits():
    return []


@pytest.fixture
def said():
    return []


@pytest.fixture
def up(hub, waits, said):
    return Uploader(NAME, Listening(said), waits.append)


@pytest.fixture
def folder(tmp_path, tiny_base):
    return tiny_run.built(tmp_path / "folder", tiny_base, NAME).folder


def small(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_without_a_token_or_a_network_nothing_is_asked(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="no token of the Hub here; run `hf auth login`"):
        Uploader(NAME, Listening([]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        Uploader(NAME, Listening([]))
    assert hub.requests == []


def test_who_may_write(hub, up, monkeypatch):
    assert up.who() == "ada"
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(HubError, match="this token may read only"):
        Uploader(NAME, Listening([])).who()


def test_heads_of_what_is_there_and_is_not(hub, up):
    assert up.head("main") is None
    up.create(private=False)
    assert up.head("main") == hub.head(NAME)
    assert up.head("v1") is None
    assert up.branch("main") == up.branch("v1") == hub.head(NAME)
    assert up.head("v1") == hub.head(NAME)


def test_what_should_be_private_is_not_put_where_all_see_it(hub, up):
    up.create(private=True)
    assert hub.repositories[NAME].private
    up.check_private()
    up.create(private=True)
    hub.repositories[NAME].private = False
    with pytest.raises(HubError, match="is there already and is public"):
        up.check_private()


def test_before_there_is_a_repository_nothing_is_public(up):
    up.check_private()


@pytest.mark.parametrize("token", ["hf_é", "hf_a b", "hf_\x07", "hf_١٢"])
def test_a_token_that_no_header_can_carry(hub, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match="has letters that no token has") as caught:
        Uploader(NAME, Listening([]))
    assert token not in str(caught.value)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("400", "HTTP 400: the Hub says: Bad request; repeating it will not help"),
        ("413", "HTTP 413: the Hub says: The commit is too large; repeating"),
        ("422", "HTTP 422: the Hub says: Unprocessable; repeating"),
        ("403", "HTTP 403: the Hub says: You don't have the rights to do this; this token may not"),
    ],
)
def test_what_repeating_does_not_mend_is_said_in_the_hub_s_words(hub, up, waits, status, says):
    hub.inject(status, "GET", "whoami")
    with pytest.raises(HubError) as caught:
        up.who()
    assert says in str(caught.value)
    assert "later" not in str(caught.value)
    assert waits == []


def test_words_of_the_hub_are_one_line_and_short(hub, up):
    hub.inject("403", "GET", "whoami", message="Your  storage is\tfull: " + "x" * 999)
    with pytest.raises(HubError, match="the Hub says: Your storage is full: xxx") as caught:
        up.who()
    assert len(str(caught.value)) < 500


def test_history_and_files_of_a_commit(hub, up):
    up.create(private=False)
    first = hub.head(NAME)
    second = hub.push(NAME, {"probe.json": "ẹ̀kọ́".encode()}, "by hand")
    assert up.history(second) == [(second, "by hand"), (first, "initial commit")]
    assert up.read("probe.json", second) == "ẹ̀kọ́"
    assert up.read("probe.json", first) is None


def test_a_pull_request_that_is_closed(hub, up, folder):
    up.create(private=False)
    up.commit(folder, [], "one", "main", hub.head(NAME), pr=True)
    assert not up.is_closed(1)
    up.close(1, "no")
    assert up.is_closed(1)


def test_a_card_that_the_hub_refuses(up):
    up.check_card("---\nlicense: mit\n---\n# x\n")
    with pytest.raises(HubError, match="the Hub refuses the card: ") as caught:
        up.check_card("---\nlicense: [mit]\n---\n# x\n")
    assert '"license\\" must be a string' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_commit_takes_the_place_of_what_was_there(hub, up, folder):
    up.create(private=False)
    parent = hub.push(NAME, {"old.txt": b"old", "labels.json": b"[]"})
    done = up.commit(folder, ["old.txt"], "one", "main", parent, pr=False)
    assert done == Commit(hub.head(NAME), None)
    assert set(tiny_run.without_git(hub.files(NAME))) == set(tiny_run.hashes(folder))
    files = up.files(done.sha)
    name = "adapter_model.safetensors"
    assert files[name] == tiny_run.hashes(folder)[name]
    assert up.made("one", "main", parent, pr=False) == done
    assert up.made("one", "main", done.sha, pr=False) is None
    assert up.made("two", "main", parent, pr=False) is None


def test_a_first_commit_whose_answer_is_lost(hub, up, folder, waits):
    up.create(private=False)
    start = hub.head(NAME)
    hub.inject("lost", "POST", "/commit/main")
    done = up.commit(folder, [], "one", "main", start, pr=False)
    assert waits == [1]
    assert list(hub.repositories[NAME].history(done.sha)) == [done.sha, start]


def test_a_pull_request_whose_answer_is_lost(hub, up, folder, waits):
    up.create(private=False)
    start = hub.head(NAME)
    fault = hub.inject("lost", "POST", "/commit/main")
    done = up.commit(folder, [], "one", "main", start, pr=True)
    assert fault.fired == 1
    assert done == Commit(hub.head(NAME, "refs/pr/1"), 1)
    assert list(hub.repositories[NAME].discussions) == [1]
    assert hub.head(NAME) == start
    up.close(1, "no")
    assert up.made("one", "main", start, pr=True) is None


def test_somebody_elses_commit_is_not_taken_for_ours(hub, up, folder):
    up.create(private=False)
    start = hub.head(NAME)
    hub.push(NAME, {"x": b"1"}, summary="one")
    with pytest.raises(HubError, match="HTTP 412: somebody else committed meanwhile"):
        up.commit(folder, [], "one", "main", start, pr=False)


def test_what_is_taken_back_is_as_it_was(hub, up, folder, tmp_path):
    up.create(private=False)
    first = up.commit(folder, [], "first", "main", hub.head(NAME), pr=False)
    before = hub.files(NAME)
    other = small(tmp_path / "other", new="new", more="more")
    (other / "labels.json").write_text("[]")
    (other / "adapter_model.safetensors").write_bytes(b"other" * 99)
    bad = up.commit(other, ["probe.json", "README.md"], "bad", "main", first.sha, pr=False)
    assert hub.files(NAME) != before
    up.restore("main", bad.sha, first.sha, "back")
    assert hub.files(NAME) == before
    assert len(list(hub.repositories[NAME].history(hub.head(NAME)))) == 4


def test_taking_back_a_first_one_leaves_an_empty_repository(hub, up, folder):
    up.create(private=False)
    start = hub.head(NAME)
    bad = up.commit(folder, [], "bad", "main", start, pr=False)
    hub.inject("lost", "POST", "/commit/main")
    up.restore("main", bad.sha, start, "back")
    assert set(hub.files(NAME)) == hub_upload.GIT_FILES


def test_downloads_are_compared_by_hash(hub, up, folder, tmp_path, said):
    up.create(private=False)
    done = up.commit(folder, [], "one", "main", hub.head(NAME), pr=False)
    expected = tiny_run.hashes(folder)
    got = up.download(done.sha, tmp_path / "1", expected)
    assert tiny_run.without_git(tiny_run.hashes(got)) == expected
    hub.inject("wrong-hash", "GET", "resolve/.*labels.json", times=2)
    with pytest.raises(ReloadError, match=r"labels\.json came back with other bytes"):
        up.download(done.sha, tmp_path / "2", expected)
    with pytest.raises(ReloadError, match=r"more\.txt came back with other bytes"):
        up.download(done.sha, tmp_path / "3", expected | {"more.txt": "0"})
    assert said[-1] == "publish: download: more.txt came back otherwise; once more"


@pytest.mark.parametrize(
    ("given", "waited"), [("7", [7]), ("9999", [120]), ("soon", [1]), ("-1", [1])]
)
def test_how_long_the_hub_says_to_wait(hub, up, waits, monkeypatch, given, waited):
    hub.inject("429", "GET", "whoami", retry_after=given)
    assert up.who() == "ada"
    assert waits == waited


def test_a_full_disk_is_not_the_hub_s_fault(up, waits, monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match="the disk is full"):
        up._asked("download", full)
    assert waits == []


def test_a_mistake_of_the_client_is_not_hidden(up):
    def wrong():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        up._asked("commit", wrong)


def test_a_time_out_also_after_the_client_has_connected_anew(hub):
    from huggingface_hub import close_session, get_session

    before = get_session().timeout
    with hub_retries.bounded():
        for _ in range(2):
            assert get_session().timeout.read == hub_retries.TIMEOUT_S
            close_session()
    assert get_session().timeout == before


def test_the_token_is_said_nowhere(hub, up, said):
    hub.inject("500", "GET", "whoami", times=99)
    with pytest.raises(HubError) as caught:
        up.who()
    assert re.search("give the same command again later", str(caught.value))
    assert TOKEN not in repr(said) + str(caught.value)

"""What publishing asks of the Hub, through huggingface_hub."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lowres import artifacts
from lowres.errors import HubError, ReloadError
from lowres.hub_retries import Asking
from lowres.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

# the client shortens a long name: (…)model.safetensors
_CUT: Final = re.compile(r"should be of size \d+ but has size \d+ \((?:\(…\))?(.*?)\)")
GIT_FILES: Final = frozenset({".gitattributes"})
"""What the Hub itself puts into a new repository."""


@dataclass(frozen=True)
class Commit:
    """A commit; `pr`: number of its pull request, or None on the branch itself."""

    sha: str
    pr: int | None


class _CutError(Exception):
    """A download has another size than the Hub says; the text names the file."""


class Uploader:
    """One repository of models, for one token."""

    def __init__(
        self, repo_id: str, progress: Progress, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        from huggingface_hub import HfApi, constants, get_token

        self.repo_id = repo_id
        self._progress = progress
        self._token = get_token()
        check_token(self._token)
        if constants.HF_HUB_OFFLINE:
            raise HubError("publish: HF_HUB_OFFLINE is set; unset it where there is a network")
        if not self._token:
            raise HubError(
                "publish: no token of the Hub here; run `hf auth login` with one that may write, "
                "or set HF_TOKEN"
            )
        self._api = HfApi(endpoint=constants.ENDPOINT, token=self._token)
        self.page = f"{constants.ENDPOINT}/{repo_id}"
        self._asked = Asking(repo_id, self.page, progress, sleep)

    def who(self) -> str:
        """The user's name. Raises `HubError` for a token that is expired or may not write."""
        found = self._asked("whoami", self._api.whoami)
        role = (found.get("auth", {}).get("accessToken") or {}).get("role")
        if role == "read":
            raise HubError(
                "publish: this token may read only; make one that may write at "
                "https://huggingface.co/settings/tokens and run `hf auth login` again"
            )
        return str(found["name"])

    def create(self, private: bool) -> None:
        """The repository, if it is not there yet."""
        self._asked(
            "create",
            lambda: self._api.create_repo(
                self.repo_id, repo_type="model", private=private, exist_ok=True
            ),
        )

    def check_private(self) -> None:
        """Raise `HubError` where the repository is there already, for all to see."""
        info = self._info("main")
        if info is not None and not info.private:
            raise HubError(
                f"{self.page}: is there already and is public; make it private in its settings, "
                "or leave out --private"
            )

    def branch(self, revision: str) -> str:
        """The commit that a branch is at; one that is not there yet starts from main."""
        if revision != "main" and self.head(revision) is None:
            self._asked(
                "create the branch",
                lambda: self._api.create_branch(self.repo_id, branch=revision, exist_ok=True),
            )
        found = self.head(revision)
        if found is None:
            raise HubError(
                f"publish: {self.page}: no revision {revision} that this token sees; take another "
                "name, or another --revision"
            )
        return found

    def head(self, revision: str) -> str | None:
        """The commit that a branch is at; None where there is no such branch or repository."""
        info = self._info(revision)
        return None if info is None else str(info.sha)

    def _info(self, revision: str) -> Any:
        from huggingface_hub.errors import (
            GatedRepoError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        def ask() -> Any:
            try:
                return self._api.model_info(self.repo_id, revision=revision)
            except GatedRepoError:
                raise
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return None

        return self._asked("look", ask)

    def files(self, revision: str) -> dict[str, str]:
        """Path -> SHA-256 of a large file, git's hash of a small one, at a commit."""
        from huggingface_hub.hf_api import RepoFile

        def listed() -> dict[str, str]:
            tree = self._api.list_repo_tree(self.repo_id, recursive=True, revision=revision)
            return {
                entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
                for entry in tree
                if isinstance(entry, RepoFile)
            }

        return self._asked("list files", listed)

    def history(self, revision: str) -> list[tuple[str, str]]:
        """Commit and title, newest first."""
        return self._asked(
            "look",
            lambda: [
                (one.commit_id, one.title)
                for one in self._api.list_repo_commits(self.repo_id, revision=revision)
            ],
        )

    def read(self, path: str, revision: str) -> str | None:
        """The text of a file at a commit, None where there is none."""
        from huggingface_hub.errors import EntryNotFoundError

        def ask() -> str | None:
            with tempfile.TemporaryDirectory(prefix="lowres-hub-") as cache:
                try:
                    got = self._api.hf_hub_download(
                        self.repo_id, path, revision=revision, cache_dir=cache
                    )
                except EntryNotFoundError:
                    return None
                return Path(got).read_text(encoding="utf-8", errors="replace")

        return self._asked("look", ask)

    def check_card(self, readme: str) -> None:
        """The Hub's own check of a card. Raises `HubError` with what it says."""
        from huggingface_hub import ModelCard

        try:
            self._asked("check the card", lambda: ModelCard(readme).validate())
        except ValueError as error:
            line = " ".join(str(error).split())
            raise HubError(f"publish: the Hub refuses the card: {line}") from error

    def commit(
        self,
        folder: Path,
        stale: list[str],
        message: str,
        branch: str,
        parent: str,
        pr: bool,
    ) -> Commit:
        """All files of a folder, and nothing else, in one commit.

        Large files go first; until the commit nobody sees them. Where its answer was lost the
        branch is looked at before it is tried again, so that nothing is committed twice.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[CommitOperationAdd | CommitOperationDelete | CommitOperationCopy] = [
            CommitOperationAdd(path.relative_to(folder).as_posix(), str(path))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        operations += [CommitOperationDelete(path) for path in stale]
        return self._committed(operations, message, branch, parent, pr)

    def restore(self, branch: str, bad: str, before: str, message: str) -> Commit:
        """Take a commit back: what it changed is again as it was at `before`."""
        from huggingface_hub import CommitOperationCopy, CommitOperationDelete

        now, then = self.files(bad), self.files(before)
        operations: list[Any] = [
            CommitOperationCopy(path, path, src_revision=before)
            for path in then
            if now.get(path) != then[path]
        ]
        operations += [
            CommitOperationDelete(path)
            for path in now
            if path not in then and path not in GIT_FILES
        ]
        return self._committed(operations, message, branch, bad, pr=False)

    def _committed(
        self, operations: list[Any], message: str, branch: str, parent: str, pr: bool
    ) -> Commit:
        def commit() -> Commit:
            done = self._api.create_commit(
                self.repo_id,
                operations,
                commit_message=message,
                revision=branch,
                parent_commit=parent,
                create_pr=pr,
            )
            return Commit(str(done.oid), int(done.pr_num) if done.pr_num else None)

        return self._asked("commit", commit, lambda: self._made(message, branch, parent, pr))

    def made(self, message: str, branch: str, parent: str, pr: bool) -> Commit | None:
        """What an earlier try committed although its answer was lost, or nobody was left to get it.

        `parent`: what the branch was at then; of a pull request its title is enough.
        """
        return self._asked("look", lambda: self._made(message, branch, parent, pr))

    def _made(self, message: str, branch: str, parent: str, pr: bool) -> Commit | None:
        if not pr:
            latest = self._api.list_repo_commits(self.repo_id, revision=branch)[:2]
            ours = len(latest) == 2 and latest[0].title == message
            return (
                Commit(latest[0].commit_id, None)
                if ours and latest[1].commit_id == parent
                else None
            )
        opened = self._api.get_repo_discussions(
            self.repo_id, discussion_type="pull_request", discussion_status="open"
        )
        for one in opened:
            if one.title == message:
                commits = self._api.list_repo_commits(self.repo_id, revision=f"refs/pr/{one.num}")
                return Commit(commits[0].commit_id, one.num)
        return None

    def close(self, number: int, why: str) -> None:
        """Close a pull request."""
        self._asked(
            "close the pull request",
            lambda: self._api.change_discussion_status(
                self.repo_id, number, "closed", comment=why, repo_type="model"
            ),
        )

    def is_closed(self, number: int) -> bool:
        """Whether a pull request was closed, and not merged."""
        found = self._asked("look", lambda: self._api.get_discussion_details(self.repo_id, number))
        return bool(found.status == "closed")

    def download(self, sha: str, folder: Path, expected: dict[str, str]) -> Path:
        """A commit's files into an empty cache, twice where they are not what was sent.

        `expected`: path -> SHA-256. The client itself compares sizes only.

        Raises `ReloadError` where their bytes differ both times.
        """
        wrong = ""
        for number in ("1", "2"):
            if wrong:
                self._progress.say(f"publish: download: {wrong} came back otherwise; once more")
            cache = folder / number
            try:
                got = Path(self._asked("download", partial(self._fetched, sha, cache)))
            except _CutError as error:
                wrong = str(error)
                continue
            wrong = next((n for n, is_ in expected.items() if not _is(got / n, is_)), "")
            if not wrong:
                return got
        raise ReloadError(f"{wrong} came back with other bytes")

    def _fetched(self, sha: str, cache: Path) -> str:
        from huggingface_hub import snapshot_download

        try:
            return str(
                snapshot_download(self.repo_id, revision=sha, cache_dir=cache, token=self._token)
            )
        except OSError as error:
            cut = _CUT.search(str(error))
            if cut is not None:
                # to the client an error like any other, but it may be what the Hub holds
                raise _CutError(cut[1].rpartition("/")[2]) from error
            raise


def _is(file: Path, wanted: str) -> bool:
    return file.is_file() and artifacts.file_hash(file) == wanted


def check_token(token: str | None) -> None:
    """Raise `HubError` for a token that no header can carry. It is not shown."""
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise HubError(
            "publish: the token (HF_TOKEN, or of `hf auth login`) has letters that no token has, "
            "such as é or a space; copy it again from https://huggingface.co/settings/tokens"
        )

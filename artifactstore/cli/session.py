"""One run of a command: its settings, its store, and the places where it prints."""

import gc
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import click

from artifactstore.cli.asking import ask_passphrase
from artifactstore.cli.options import CommonOptions, Limits
from artifactstore.cli.rendering import json_line, json_text, printable
from artifactstore.cli.sources import Sources
from artifactstore.clock import SystemClock
from artifactstore.config import Settings, load_settings
from artifactstore.errors import NoSuchStore, StoreExists
from artifactstore.progress import Progress, Quiet
from artifactstore.store import Store

NO_LIMITS = Limits(None, None)


class CreatedStore(NamedTuple):
    """A store that this command made, and the key file that unlocks it."""

    id: str
    url: str
    key_file: Path
    key_file_created: bool


class Session:
    """What one command works with; standard output is for results, standard error for everything else."""

    def __init__(self, options: CommonOptions) -> None:
        gc.freeze()
        self.options = options
        self.settings: Settings = load_settings(
            store=options.store,
            key_file=options.key_file,
            password_command=options.password_command,
            storage=options.storage,
        )
        self.created: CreatedStore | None = None
        self.watched = not (options.quiet or options.as_json) and sys.stderr.isatty()
        self.progress: Progress = self._progress()
        self._noticed: set[str] = set()
        for file in self.settings.files:
            self.explain(f"settings from {file}")

    @contextmanager
    def open_store(self, limits: Limits = NO_LIMITS, *, make_default: bool = False) -> Iterator[Store]:
        """Open the store for a `with` block, and print its notices.

        Args:
            limits: Bytes a second that may move.
            make_default: Make the default store if it does not exist and nobody named another.

        Raises:
            NoSuchStore: There is none, and it is not to be made.
        """
        try:
            with self._found_or_made(limits, make_default=make_default) as store:
                self.tell_notices(store)
                try:
                    yield store
                finally:
                    self.progress.finish()
                    self.tell_notices(store)
        finally:  # an error is told below the bar's place, and the terminal gets its cursor back
            self.progress.finish()

    def create_store(self, url: str) -> tuple[Store, CreatedStore]:
        """Make a store at `url`, and the key file when there is none, and say where they are."""
        key_file = self.settings.key_file
        key_file_existed = key_file.exists()
        try:
            store = Store.create(
                url,
                key_file=key_file,
                storage_options=self.settings.storage,
                single_writer=self.options.single_writer,
                cache_dir=self.settings.cache_dir,
                progress=self.progress,
            )
        finally:
            self.progress.finish()
        made = CreatedStore(store.id, store.url, key_file, not key_file_existed)
        self.created = made
        key = "made the key file" if made.key_file_created else "it is unlocked by your key file"
        self.notice(f"made the store {made.url} (id {made.id})", always=True)
        self.notice(
            f"{key} {made.key_file}: back it up with `artifactstore key backup DEST`,"
            " without it nobody can read the store",
            always=True,
        )
        return store, made

    def counting(
        self, store: Store, name: str, sources: Sources, exclude: Sequence[str]
    ) -> AbstractContextManager[None]:
        """Where a bar is watched, tell it the totals of the push in the `with` block."""
        if not self.watched:
            return nullcontext()
        from artifactstore.cli.totals import counted

        return counted(store, name, sources, exclude, self.progress)

    def qualified(self, name: str) -> str:
        """`name` with the configured project in front when it names none."""
        project = self.settings.project
        return name if project is None or "/" in name else f"{project}/{name}"

    def result(self, document: Mapping[str, object], lines: Iterable[str]) -> None:
        """Print what the command was called for: `document` with --json, else `lines`."""
        if self.options.as_json:
            sys.stdout.write(json_text(document) + "\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in lines)

    def summary(self, document: Mapping[str, object], lines: Iterable[str]) -> None:
        """Print what the command did; --quiet keeps it to itself."""
        self.result(document, () if self.options.quiet else lines)

    def lines(self, lines: Iterable[str]) -> None:
        """Print what a person is to read before the command goes on; with --json it is part of the document."""
        if not self.options.as_json:
            sys.stdout.writelines(f"{line}\n" for line in lines)
            sys.stdout.flush()

    def confirmed(self, question: str, *, yes: bool) -> bool:
        """Whether the user wants it: by --yes, or asked on a terminal; where nobody can be asked, it is not done."""
        if yes:
            return True
        if self.options.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            self.notice("nothing was changed; repeat it with --yes to act", always=True)
            return False
        return click.confirm(question, err=True)

    def agreed(self, question: str, lines: Iterable[str]) -> bool:
        """Whether the user wants what `lines` say, shown on standard error before the question."""
        if not self.options.as_json:
            sys.stderr.writelines(f"{line}\n" for line in lines)
        return self.confirmed(question, yes=False)

    def notice(self, text: str, *, always: bool = False) -> None:
        """Print a sentence on standard error, once; --quiet hides it unless `always`."""
        if text in self._noticed or (self.options.quiet and not always):
            return
        self._noticed.add(text)
        if self.options.as_json:
            sys.stderr.write(json_line({"notice": text}))
        elif isinstance(self.progress, Quiet):
            sys.stderr.write(f"note: {printable(text)}\n")
        else:
            self.progress.notice(text)

    def explain(self, text: str) -> None:
        """Print a detail on standard error when --verbose asks for it."""
        if self.options.verbose and not self.options.as_json:
            sys.stderr.write(f"{printable(text)}\n")

    def tell_notices(self, store: Store) -> None:
        """Print what the store wants its user to read, once each."""
        for text in store.notices:
            self.notice(text)

    def _progress(self) -> Progress:
        if self.options.quiet or self.options.as_json:
            return Quiet()
        if self.watched:
            from artifactstore.cli.progress_bar import ProgressBar

            return ProgressBar(sys.stderr, SystemClock())
        from artifactstore.cli.plain_progress import PlainLines

        return PlainLines(sys.stderr, SystemClock())

    def _found_or_made(self, limits: Limits, *, make_default: bool) -> Store:
        try:
            return self._open(limits)
        except NoSuchStore as error:
            if self.settings.store_named:
                raise
            if not make_default:
                raise NoSuchStore(
                    f"there is no store yet at {self.settings.store}, the default",
                    next_step="make it with `artifactstore push PATH PROJECT/NAME`, or name one with --store",
                    store=self.settings.store,
                ) from error
        return self._make_default(limits)

    def _open(self, limits: Limits) -> Store:
        settings = self.settings
        self.explain(f"store {settings.store}, key file {settings.key_file}, cache {settings.cache_dir}")
        return Store.open(
            settings.store,
            key_file=self.options.key_file,
            password_command=self.options.password_command,
            ask=ask_passphrase if sys.stdin.isatty() else None,
            store_id=self.options.store_id,
            storage_options=settings.storage,
            single_writer=self.options.single_writer,
            cache_dir=settings.cache_dir,
            upload_bytes_per_s=limits.upload_bytes_per_s,
            download_bytes_per_s=limits.download_bytes_per_s,
            compression_level=settings.compression_level,
            progress=self.progress,
        )

    def _make_default(self, limits: Limits) -> Store:
        try:
            store, _ = self.create_store(self.settings.store)
        except StoreExists:  # another first push was faster
            return self._open(limits)
        if limits == NO_LIMITS:
            return store
        store.close()
        return self._open(limits)

"""Stability reports: the analyses of a network, in one document, as HTML, PDF and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from dynsys.errors import InputError, MissingPackageError
from dynsys.reporting.document import Document, Finding
from dynsys.types import ArrayLike

FORMATS = ("html", "pdf", "json")


@final
@dataclass(frozen=True, eq=False)
class Report:
    """A finished report.

    Attributes:
        document: what it says. study: the results it was drawn from. files: the files written, by format.
    """

    document: Document
    study: Any
    files: dict[str, Path]

    @property
    def verdict(self) -> str:
        """One sentence."""
        return self.document.verdict

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Ranked, gravest first."""
        return self.document.findings

    def __str__(self) -> str:
        lines = [self.verdict]
        lines += [f"[{f.severity}] {f.title}" + (f": {f.shown}" if f.shown else "") for f in self.findings]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """In a notebook: the whole report in a frame of its own, so that styles do not mix."""
        import html

        from dynsys.reporting.html import render_html

        page = html.escape(render_html(self.document), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:80vh;border:0" title="dynsys report"></iframe>'


def report(
    f: Any,
    out: str | Path | None,
    formats: Sequence[str] = FORMATS,
    *,
    inputs: ArrayLike | None = None,
    trials: Any = None,
    input: ArrayLike | None = None,
    title: str | None = None,
    n_starts: int = 1024,
    seed: int = 0,
    step_duration: float | None = None,
    training: str | Path | None = None,
    command: str = "",
    cycles: int = 0,
    targets: Any = None,
    loss: Literal["cross-entropy", "squared"] | None = None,
    at: Literal["all", "last"] = "all",
    remedies: bool = True,
    progress: Any = None,
) -> Report:
    """Analyse `f` and write its stability report.

    Args:
        f: the map (anything `as_map` reads).
        out: folder for report.html, report.pdf and report.json, made if need be; None writes nothing.
        formats: which of "html", "pdf", "json". PDF needs the optional package typst.
        inputs: sequences to study the network on, (T, m) or (T, trials, m); tokens for a network with an embedding.
        trials: a `dynsys.trials.Trials`, instead of `inputs`.
        input: (m,) the constant input of the fixed-point search; None is zero.
        title: of the report; None takes the model file's name, else the map's.
        n_starts, seed: of the fixed-point search. step_duration: seconds per step, adds times in ms.
        training: a file that `watch` wrote: adds a timeline.
        cycles: also look for all cycles up to this period; those that orbits end on are looked for in any case.
        targets, loss, at: of the task on `inputs` or `trials`, as `bptt` takes them: remedies then include those that
            need gradients. One step fewer than the inputs have is allowed, for the next token.
        remedies: whether to try, on the trials, what would help training.
        command: how the report was made, for its reproducibility block. progress: called with (done, total, message).

    Returns: the Report: verdict, findings, document, study, files.
    """
    from dynsys.combinators import as_map
    from dynsys.reporting.assemble import document_of
    from dynsys.reporting.study import run_study
    from dynsys.training_log import read_training
    from dynsys.trials import as_trials

    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"unknown report formats {unknown}; there are {', '.join(FORMATS)}.")
    if inputs is not None and trials is not None:
        raise InputError("pass `inputs` or `trials`, not both.")
    f = as_map(f)
    if inputs is not None:
        trials = as_trials(f, inputs)
    if "pdf" in formats and out is not None:
        _require_typst()
    folder = None if out is None else _ready(out, formats)
    log = None if training is None else read_training(training)
    if (targets is None) != (loss is None):
        raise InputError("pass `targets` and `loss` together, or neither.")
    scored = targets is not None and getattr(f, "readout", None) is not None
    task = {"targets": targets, "loss": loss, "at": at} if scored else {}
    study = run_study(
        f,
        input=input,
        trials=trials,
        n_starts=n_starts,
        seed=seed,
        step_duration=step_duration,
        progress=progress,
        cycles=cycles,
        task=task if remedies else None,
    )
    document = document_of(study, title or _title(f), command, log)
    files = {} if folder is None else _write(document, folder, formats)
    return Report(document, study, files)


def _require_typst() -> None:
    """Say that PDF needs an optional package before minutes of analysis, not after."""
    from importlib.util import find_spec

    if find_spec("typst") is None:
        raise MissingPackageError(
            "a PDF report needs typst: pip install typst. Or leave PDF out (`--format html --format json`): the HTML "
            "prints well."
        )


def _title(f: Any) -> str:
    source = getattr(f, "source", None)
    return Path(source.path).stem if source is not None else str(f.name)


def _ready(out: str | Path, formats: Sequence[str]) -> Path:
    """The folder to write to, refused before the analysis if it cannot be written; made only after it."""
    from dynsys.outputs import require_writable_folder

    if not str(out).strip():
        raise InputError("`out` is empty; name a folder.")
    require_writable_folder(Path(out), [f"report.{name}" for name in formats], "the report")
    return Path(out)


def _write(document: Document, folder: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Render everything first, so that a failure leaves no half-written report, then write."""
    from dynsys.jsonable import dumps
    from dynsys.reporting.html import render_html
    from dynsys.reporting.pdf import render_pdf

    content: dict[str, bytes] = {}
    if "html" in formats:
        content["html"] = render_html(document).encode()
    if "pdf" in formats:
        content["pdf"] = render_pdf(document)
    if "json" in formats:
        content["json"] = (dumps(document.data, indent=1) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: folder / f"report.{name}" for name in content}
        for name, data in content.items():
            files[name].write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write the report to {str(folder)!r}: {error.strerror or error}.") from None
    return files

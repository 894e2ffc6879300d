"""The command line: parsing. The work is in the verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidboot import scanned
from vidboot.data.owner import check_apart, check_not_a_video_of, place_of, work_folder, work_folder_of_file
from vidboot.policy import Policy
from vidboot.terminal import report_line, show, told

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Work = Annotated[
    Path | None, typer.Option(help="Working folder; default NAME.vidboot here or, from within VIDEOS, beside it.")
]
Videos = Annotated[Path, typer.Argument(help="A folder of videos, searched whole, or one file. Never written to.")]
PRESET, TARGET = "real", "64x32x32@12"
"""What is trained, and what a scan therefore asks of a folder, unless one says otherwise."""
Preset = Annotated[
    str | None, typer.Option(help=f"A complete set of settings: smoke, tiny, real or base; default {PRESET}.")
]
SettingsFile = Annotated[Path | None, typer.Option("--config", help="A settings file instead of a preset.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Change one setting: part.name=value.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory that vidboot train made.")]


@app.command()
def scan(
    videos: Videos,
    target: Annotated[
        str, typer.Option(help="The video you want, FRAMESxHEIGHTxWIDTH@FPS; default the preset real's.")
    ] = TARGET,
    work: Work = None,
    as_json: Json = False,
) -> None:
    """Audit a folder: what each file can teach, what is lost and why."""
    from vidboot import scan as verb
    from vidboot.data.progress import on_stderr

    with told(), on_stderr("scan") as progress:
        folder = work_folder(videos, work)
        wanted = verb.Target.parse(target)
        result = verb.scan(videos, folder, wanted, progress=progress)
    show(result, as_json, lambda: verb.format_table(folder, wanted))


@app.command()
def mask(
    videos: Videos,
    decisions: Annotated[Path | None, typer.Option("--apply", help="Merge what the page saved; find nothing.")] = None,
    page: Annotated[Path | None, typer.Option(help="Where the review page goes; default WORK/review.html.")] = None,
    kinds: Annotated[
        str | None, typer.Option(help="Mask these only, by commas: subtitle, mark, bar, frozen, blank, damaged.")
    ] = None,
    text_model: Annotated[
        Path | None, typer.Option(help="An .onnx text detector; default that of the extra ocr.")
    ] = None,
    work: Work = None,
    as_json: Json = False,
) -> None:
    """Find subtitles, marks, bars and broken frames; write masks for training and a page to review them on."""
    with told():
        from vidboot import review
        from vidboot.data.progress import on_stderr

        check_apart(videos, page)
        folder = work_folder(videos, work)
        if decisions:
            result = review.apply_decisions(folder, decisions)
            counts = "{decisions} decisions on {videos} videos; {changed} of their masks changed".format(**result)
            text = f"merged {counts}\n"
        else:
            result, text = scanned.find_masks(videos, folder, kinds, text_model)
        with on_stderr("review") as progress:
            made = review.write_review(videos, folder, page or folder / "review.html", progress=progress)
    page_line = f"{text}all {made['events']} events, the doubtful first: open {made['page']}"
    show({**result, "review": made}, as_json, lambda: page_line)


@app.command()
def train(
    videos: Videos,
    out: Annotated[Path, typer.Option(help="The run directory; made, or resumed.")],
    preset: Preset = None,
    config: SettingsFile = None,
    settings: Settings = None,
    work: Work = None,
    as_json: Json = False,
) -> None:
    """Train every view's net, the gates and the residual; run it again to resume."""
    with told():
        from vidboot import config as configs

        chosen = configs.read(preset=_or_usual(preset, config), path=config, settings=settings or ())
        result = scanned.train(videos, out, chosen, work_folder(videos, work))
    lacking = f"; {result['lacking']}" if result["lacking"] else ""
    show(result, as_json, lambda: f"trained {', '.join(result['stages'])} into {out}{lacking}")


def _or_usual(preset: str | None, config: Path | None) -> str | None:
    return PRESET if preset is None and config is None else preset


@app.command()
def generate(
    run: RunPath,
    frames: Annotated[int, typer.Option(help="Length of the video; any number.")],
    out: Annotated[Path, typer.Option(help="The mp4 file to write.")],
    policy: Annotated[Policy, typer.Option(help="Which nets make it.")] = Policy.full,
    seed: Annotated[int, typer.Option(help="The same seed gives the same video.")] = 0,
    as_json: Json = False,
) -> None:
    """Generate a video of any length."""
    from vidboot.data.progress import on_stderr

    with told(), on_stderr("generate") as progress:
        from vidboot import generate as verb
        from vidboot.run import Run

        check_not_a_video_of(Run(run).work, out)
        result = verb.generate(run, out, frames=frames, policy=policy, seed=seed, progress=progress)
    show(result, as_json, lambda: f"wrote {frames} frames to {out}")


@app.command()
def evaluate(
    run: RunPath,
    videos: Annotated[
        Path, typer.Option(help="A folder of held-out videos; known from training only if the same file.")
    ],
    frames: Annotated[int | None, typer.Option(help="Length of the samples; default that of training.")] = None,
    samples: Annotated[int, typer.Option(help="Videos generated by each policy.")] = 16,
    policy: Annotated[
        list[Policy] | None,
        typer.Option(help="Sample these; default all the run has. Losses are of all but low-res-only."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Where the page goes; default RUN/evaluation.html.")] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    work: Work = None,
    as_json: Json = False,
) -> None:
    """Measure generated video against held-out real video: numbers and a page."""
    from vidboot.data.progress import on_stderr

    with told():
        from vidboot import evaluate as verb
        from vidboot import pages
        from vidboot import scan as audit
        from vidboot.files import check_writable
        from vidboot.run import Run

        opened = Run(run)
        folder = work_folder(videos, work)
        where = page or run / "evaluation.html"
        check_apart(videos, where)
        check_writable(where)
        with on_stderr("scan") as progress:
            files, shots = audit.audit(videos, folder, progress=progress)
        with on_stderr("evaluate") as progress:
            evaluation = verb.evaluate(
                run,
                videos,
                folder,
                verb.real_shots(opened, verb.Folder(videos, folder, files, shots), frames),
                frames=frames,
                samples=samples,
                policies=policy,
                seed=seed,
                progress=progress,
            )
        pages.write_page(where, evaluation, opened)
    show({**evaluation.numbers, "page": str(where)}, as_json, lambda: pages.format_numbers(evaluation, where))


@app.command()
def restore(
    run: RunPath,
    video: Annotated[Path, typer.Option(help="The clip; never written to.")],
    out: Annotated[Path, typer.Option(help="The mp4 file to write.")],
    masks: Annotated[Path | None, typer.Option(help="Folder of mask files; default WORK/masks.")] = None,
    lossless: Annotated[bool, typer.Option(help="Keep other pixels exactly (H.264 in RGB; not every player).")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fill.")] = 0,
    steps: Annotated[int, typer.Option(help="Noise levels.")] = 15,
    samples: Annotated[int, typer.Option(help="Fills that are averaged: nearer the truth in the mean, softer.")] = 1,
    policy: Annotated[Policy, typer.Option(help="Which nets fill.")] = Policy.full,
    work: Annotated[
        Path | None, typer.Option(help="Working folder; default the clip's own or, without one, that of its folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fill what a clip's masks hide, at the model's size; all else is encoded anew, with --lossless kept exactly.

    Broken off, the same call goes on.
    """
    from vidboot.data.progress import on_stderr

    with told(), on_stderr("restore") as progress:
        from vidboot import restore as verb
        from vidboot.run import Run

        folder = work_folder_of_file(video, work)
        for of in (Run(run).work, folder):
            check_not_a_video_of(of, out)
        result = verb.restore(
            run,
            video,
            out,
            masks_folder=masks or folder / "masks",
            lossless=lossless,
            seed=seed,
            steps=steps,
            samples=samples,
            policy=policy,
            progress=progress,
        )
    show(result, as_json, lambda: verb.sentence(result))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("vidboot-demo"),
    preset: Annotated[str, typer.Option(help="tiny, or smoke for a run of seconds.")] = "tiny",
    as_json: Json = False,
) -> None:
    """Everything on a small folder that it makes itself; ends with a video and a page to judge it by."""
    with told():
        from vidboot import config as configs
        from vidboot import demo as story
        from vidboot.data.progress import on_stderr

        config, sizes = configs.read(preset=preset, settings=story.SETTINGS), story.sizes_of(preset)
        result = story.demo(out, config, sizes, rows=report_line, part=on_stderr)
    show(result, as_json, lambda: f"watch {result['video']} and open {result['report']}")


@app.command()
def compare(
    videos: Videos,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the runs; default NAME.compare here or, from within VIDEOS, beside it."),
    ] = None,
    preset: Preset = None,
    config: SettingsFile = None,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option(help="Of the split, the nets and the samples; like --set seed=.")] = None,
    held_out: Annotated[
        int | None,
        typer.Option(
            help="Full files to measure on; default a third, or as many of a half as make 5; 2 to 32. Fixed once begun."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Videos generated by each policy.")] = 16,
    work: Work = None,
    as_json: Json = False,
) -> None:
    """Train on your folder as vidboot does and as others do, for the same arithmetic: which is better?"""
    with told():
        from vidboot import compare as story
        from vidboot import compare_page
        from vidboot import config as configs
        from vidboot.data.progress import on_stderr

        changed = [*(settings or ()), *([] if seed is None else [f"seed={seed}"])]
        chosen = configs.read(preset=_or_usual(preset, config), path=config, settings=changed)
        result = story.compare(
            videos,
            out or place_of(videos) / f"{videos.resolve().name}.compare",
            work_folder(videos, work),
            chosen,
            held_out=held_out,
            samples=samples,
            rows=report_line,
            part=on_stderr,
        )
    show(result, as_json, lambda: compare_page.format_table(result))


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()

"""Options that several commands share, and how their texts are read."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pfltune.budget import SAMPLER_NAMES
from pfltune.errors import UserError
from pfltune.studies.options import (
    DEFAULTS,
    MOST_PARTITIONS,
    MOST_THREADS,
    OWN_DEFAULTS,
    RESULTS,
    with_rules,
)

METHODS_HELP = (
    "Names (see `pfltune methods`) or path/to/file.py:Class, separated by commas. Knobs in "
    "brackets are held: fedperfix[prefix=zero]; with @NAME all are, as the search of NAME in the "
    "same results chose them: fedperfix@NAME. fedavg+topk is FedAvg wrapped in topk, see --wrap. "
    "A .yaml file is a list of such texts, or of mappings with method, set (of knobs) and title."
)


def examples(*lines: str) -> str:
    """A help epilogue that shows commands, one per line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def stacked(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several option decorators as one."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class GpuShare(click.ParamType):
    """A share of GPUs, or ``auto``."""

    name = "SHARE|auto"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Numbers from 0 on.

        Raises:
            BadParameter: anything else.
        """
        if value == "auto":
            return "auto"
        try:
            share = float(str(value))
        except ValueError:
            share = -1.0
        if not 0 <= share < float("inf"):
            self.fail(f"{value!r} is no share of a GPU; give a number from 0 on, or auto", param)
        return share


class GenerationSizes(click.ParamType):
    """One size for all generations, or the size of each."""

    name = "SIZE|SIZE,SIZE,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | tuple[int, ...]:
        """``"4"`` as 4, ``"4,4,8"`` as (4, 4, 8).

        Raises:
            BadParameter: anything else.
        """
        if isinstance(value, int | tuple):
            return value
        try:
            sizes = tuple(int(size) for size in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is neither a size, as 4, nor the size of each, as 4,4,8", param)
        return sizes if len(sizes) > 1 else sizes[0]


override = click.option(
    "--override",
    "-o",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the scenario, e.g. -o protocol.rounds=20. Repeatable.",
)

budget = click.option(
    "--budget",
    default=None,
    metavar="200MB|20000steps|5PFLOP|2h",
    help="Train each trial until it has spent this, in however many rounds; short for "
    "-o protocol.budget=….",
)

metric = click.option(
    "--metric",
    default=None,
    metavar="accuracy|loss|balanced_accuracy|macro_f1|auroc|ece|NAME",
    help="What rounds are chosen and searches and tables go by, mean over clients; NAME is one "
    "that "
    "the scenario names in metrics. Loss and ece are minimised. Short for -o protocol.metric=….",
)

scenario = stacked(
    click.option(
        "--scenario",
        default=DEFAULTS["scenario"],
        show_default=True,
        help="Name of a scenario (see `pfltune scenarios`) or path of a YAML file.",
    ),
    override,
    budget,
    metric,
)

knobs = click.option(
    "--set",
    "knobs",
    multiple=True,
    metavar="KNOB=VALUE",
    help="Hold a hyperparameter at a value, e.g. --set lr=0.02. Repeatable.",
)


class KnobPair(click.ParamType):
    """Two knobs."""

    name = "KNOB,KNOB"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """``"lr,scale"`` as (lr, scale).

        Raises:
            BadParameter: not two names.
        """
        if isinstance(value, tuple):
            return value
        names = [name.strip() for name in str(value).split(",")]
        if len(names) != 2 or not all(names):
            self.fail(f"{value!r} is no pair of knobs, such as prefix_length,lr", param)
        return names[0], names[1]


pair = click.option(
    "--pair",
    type=KnobPair(),
    default=None,
    help="Two searched knobs that the report draws against each other; default: prefix_length and "
    "lr where both were searched, or else the two that matter most.",
)


class StartPoint(click.ParamType):
    """Values of knobs with which a search begins."""

    name = "KNOB=VALUE,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """``"lr=0.1,prefix_length=8"`` as a mapping.

        Raises:
            UserError: anything else.
        """
        from pfltune.search.space_text import point_of

        return point_of(value) if isinstance(value, str) else value


wrap = click.option(
    "--wrap",
    multiple=True,
    metavar="WRAP",
    help="Let all payloads of each named method pass this on their way: topk or float16, or "
    "path/to/file.py:Class. topk[share=0.05] holds a knob; otherwise it is searched as topk_share. "
    "The same as METHOD+WRAP. Repeatable.",
)

search_space = stacked(
    click.option(
        "--search",
        multiple=True,
        metavar="KNOB=SPEC",
        help="Search a knob over this, in place of what its method says: lr=1e-3:0.3:log, "
        "prefix_length=1,2,4 or learn_alpha=true,false; METHOD.KNOB is one method's. "
        "protocol.local_epochs, protocol.batch_size, protocol.sampled_clients, "
        "protocol.optimizer.momentum and the like can be searched like knobs. Repeatable.",
    ),
    click.option(
        "--space",
        type=click.Path(path_type=Path),
        default=None,
        metavar="FILE.yaml",
        help="A search space in place of the method's own; of several methods by their names.",
    ),
    click.option(
        "--start",
        type=StartPoint(),
        multiple=True,
        metavar="KNOB=VALUE,…",
        help="Values to try before all others, e.g. --start lr=0.1,prefix_length=8. Repeatable.",
    ),
)

device = click.option(
    "--device",
    default=None,
    metavar="cpu|cuda",
    help="Where trials run; the default is the GPU if torch sees one.",
)

threads = click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    default=DEFAULTS["threads"],
    show_default=True,
    help="CPU threads per trial; part of the record, since it moves the last bits.",
)

precision = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default=DEFAULTS["precision"],
    show_default=True,
    help="Of passes through the model; auto: the faster one by a short measurement, made once.",
)

deterministic = click.option(
    "--deterministic",
    is_flag=True,
    help="Only kernels that repeat themselves to the last bit, on a GPU too; slower there.",
)

results = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=DEFAULTS["results"],
    envvar=RESULTS,
    show_default=True,
    show_envvar=True,
    help="Folder for the MLflow store, kept trials, reports and checkpoints.",
)

fresh = click.option(
    "--fresh/--reuse",
    default=False,
    help="Train every trial, those too that were trained before: they are kept, and found again by "
    "all that their figures depend on.  [default: reuse]",
)

system_metrics = click.option(
    "--system-metrics/--no-system-metrics",
    default=DEFAULTS["system_metrics"],
    help="Have MLflow watch the machine that runs this command: load, memory, disk, network, and "
    "GPUs where nvidia-ml-py is installed; on the run `all methods`.  [default: no]",
)

keep_models = stacked(
    click.option(
        "--keep-models",
        type=click.Choice(["none", "best", "all"]),
        default=DEFAULTS["keep_models"],
        show_default=True,
        help="Keep the clients' models of each method's confirmation trials, as they were in the "
        "chosen round: of the best trial on validation data, or of all. Trials that are known but "
        "whose models are not kept are trained again.",
    ),
    click.option(
        "--register",
        "register_as",
        default=None,
        metavar="NAME",
        help="Register each method's best kept model in MLflow as a version of NAME; the best on "
        "validation data has the alias champion.",
    ),
)

name = click.option(
    "--name",
    default=None,
    help="Name of the experiment; default: made of the time. The same command goes on with it.",
)

change = click.option(
    "--override", "-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Change it."
)

resume = click.option(
    "--resume",
    default=None,
    metavar="NAME",
    help="Go on with this one; options that are not given are those it began with.",
)

whose_model = stacked(
    click.option(
        "--method",
        default=None,
        help="Whose kept model; not needed if only one method has any.",
    ),
    click.option(
        "--client",
        type=click.IntRange(min=0),
        default=None,
        help="Number of the client whose model it is.",
    ),
    click.option(
        "--trial",
        default=None,
        metavar="NAME",
        help="Name of the confirmation trial; default: the best on validation data of those kept.",
    ),
)

code = click.option(
    "--code",
    multiple=True,
    metavar="FILE.py:CLASS",
    help="Your copy of a method or backbone that an exported file needs; no other code in files is "
    "run. Repeatable.",
)

accept_new_code = click.option(
    "--accept-new-code",
    is_flag=True,
    help="Go on with a comparison although code, versions or processor have changed since it "
    "began; the report says so.",
)

gpus_per_trial = click.option(
    "--gpus-per-trial",
    type=GpuShare(),
    default=None,
    help="Share of a GPU per trial, e.g. 0.25 for four at a time; auto: as many as its memory "
    "holds, by measurement.  [default: 1 where there are GPUs]",
)

trial_options = stacked(
    click.option(
        "--checkpoints",
        default=None,
        metavar="PLACE",
        help="Folder or address (s3://…) of checkpoints that every machine reaches; "
        "default: in the results.",
    ),
    click.option(
        "--checkpoint-seconds",
        type=click.FloatRange(min=0),
        default=DEFAULTS["checkpoint_seconds"],
        show_default=True,
        help="A trial's state is written after the first round that ends so long after the last.",
    ),
    click.option(
        "--checkpoint-rounds",
        type=click.IntRange(min=1),
        default=None,
        help="And after so many rounds.",
    ),
    click.option(
        "--trial-limit",
        type=click.FloatRange(min=0, min_open=True),
        default=None,
        metavar="SECONDS",
        help="A trial whose rounds take longer, all together, has failed.",
    ),
)

workers = click.option(
    "--workers",
    type=click.IntRange(1, MOST_THREADS),
    default=None,
    help="Trials side by side; default: one per CPU core, or per GPU share.",
)

ray_address = click.option(
    "--ray-address",
    default=None,
    metavar="local|auto|HOST:PORT",
    help="Run on this Ray cluster instead of this machine alone (local, the default).",
)

hardware = stacked(
    name,
    resume,
    accept_new_code,
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=DEFAULTS["seed"],
        show_default=True,
        help="Seed of everything.",
    ),
    workers,
    threads,
    device,
    precision,
    deterministic,
    gpus_per_trial,
    ray_address,
    trial_options,
    fresh,
    system_metrics,
    results,
)

free = stacked(
    fresh,
    system_metrics,
    keep_models,
    workers,
    gpus_per_trial,
    ray_address,
    trial_options,
    accept_new_code,
    results,
)
"""What may be given anew to what is there, since it touches no figure."""

as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print nothing but the result, as one JSON object; for scripts.",
)

objective = stacked(
    click.option(
        "--objective",
        default=",".join(DEFAULTS["objective"]),
        metavar="accuracy|accuracy,comm",
        show_default=True,
        help="What the search makes best: validation accuracy, or whatever --metric names in its "
        "place, or with accuracy,comm also the MB of a trial, both at once: each method then has a "
        "front in place of one configuration.",
    ),
    click.option(
        "--front",
        type=click.IntRange(min=1),
        default=DEFAULTS["front"],
        show_default=True,
        help="With accuracy,comm: how many configurations of a method's front are confirmed with "
        "fresh seeds; its two ends, then what lies furthest from the others.",
    ),
    click.option(
        "--max-mb",
        type=click.FloatRange(min=0, min_open=True),
        default=None,
        metavar="MB",
        help="What a trial may send, up and down of all sampled clients in all rounds. A "
        "configuration that would send more is stopped after its first round and never chosen.",
    ),
)

pool = stacked(
    click.option(
        "--trials",
        type=int,
        default=DEFAULTS["trials"],
        show_default=True,
        help="Search trials per method; as many as the generations give where --generation names "
        "the size of each.",
    ),
    click.option(
        "--generation",
        type=GenerationSizes(),
        default=DEFAULTS["generation"],
        show_default=True,
        help="Trials suggested together, which are halved among themselves; one size for all "
        "generations, or the size of each, e.g. 4,4,8.",
    ),
    click.option(
        "--eta",
        type=int,
        default=DEFAULTS["eta"],
        show_default=True,
        help="One of ETA goes on at each rung.",
    ),
    click.option(
        "--halving/--no-halving",
        default=DEFAULTS["halving"],
        help="Whether trials are stopped at rungs at all.  [default: halving]",
    ),
    click.option(
        "--sampler",
        type=click.Choice(SAMPLER_NAMES),
        default=DEFAULTS["sampler"],
        show_default=True,
        help="What suggests configurations: Optuna's TPE; random, the control of all others; qmc, "
        "a Sobol sequence; gp and cmaes, which learn from whole trials alone and need "
        "--no-halving or --generation 1.",
    ),
    click.option(
        "--studies",
        type=click.IntRange(min=1),
        default=DEFAULTS["studies"],
        show_default=True,
        help="Independent searches of each method. Each chooses its own configuration, which is "
        "tested with the same seeds: ± and intervals are then over studies and seeds.",
    ),
    click.option(
        "--control",
        is_flag=True,
        default=DEFAULTS["control"],
        help="Also test each method's first start values, published ones where there are, with "
        "the seeds of the confirmation: what the search gained over them on one footing.",
    ),
    objective,
    wrap,
    search_space,
    keep_models,
    hardware,
    as_json,
)


partitions = stacked(
    click.option(
        "--partitions",
        type=click.IntRange(1, MOST_PARTITIONS),
        default=OWN_DEFAULTS["compare"]["partitions"],
        show_default=True,
        help="Draws of clients that it is made on: data_seed, data_seed + 1 and so on. Methods are "
        "tuned on the first, and what is chosen there is tested on each.",
    ),
    click.option(
        "--tune-each",
        is_flag=True,
        help="Tune methods on each of the --partitions.",
    ),
)


def finalists(command: str) -> Callable[[Any], Any]:
    """How many configurations are chosen among, and by how many seeds."""
    return stacked(
        click.option(
            "--finalists",
            "--revalidate",
            "finalists",
            type=click.IntRange(min=0),
            default=OWN_DEFAULTS[command]["finalists"],
            show_default=True,
            help="Best configurations of the search that are trained again with fresh validation "
            "seeds before one is chosen; with 0 the search alone chooses.",
        ),
        click.option(
            "--finalist-seeds",
            type=click.IntRange(min=1),
            default=DEFAULTS["finalist_seeds"],
            show_default=True,
            help="Fresh validation seeds of each finalist.",
        ),
    )


decide = click.option(
    "--decide",
    type=click.Choice(["best", "order"]),
    is_flag=False,
    flag_value="best",
    default=None,
    help="Add confirmation seeds until it is decided, by tests that hold whenever one looks, which "
    "method is the best (the default of a bare --decide) or the order of all; --seeds are given to "
    "every method in any case, further ones to those that are still in question.",
)


def max_seeds(default: str) -> Callable[[Any], Any]:
    """How many seeds a race may take."""
    return click.option(
        "--max-seeds",
        type=click.IntRange(min=1),
        default=None,
        show_default=default,
        help="Confirmation seeds of a method at the most, with --decide.",
    )


def key_values(texts: Sequence[str]) -> dict[str, str]:
    """``["lr=0.1"]`` as ``{"lr": "0.1"}``."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise UserError(f"--set {text!r} must look like lr=0.02")
        if key in pairs:
            raise UserError(f"--set names {key} twice")
        pairs[key] = value
    return pairs


def given() -> dict[str, Any]:
    """What the user gave to the present command, by name, but for what is about its printing."""
    context = click.get_current_context()
    not_given = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    found = {
        name: value
        for name, value in context.params.items()
        if name != "as_json" and context.get_parameter_source(name) not in not_given
    }
    return with_rules(found)

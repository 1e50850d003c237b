"""The paper: pedestrian attributes learned together with segmentation (Gao et al. 2019), step by step.

    caffe-port par prepare drawn --out data/drawn            a data set into three LMDBs
    caffe-port par prototxt drawn --data data/drawn --out nets
                                                             the network and its solvers
    caffe-port par train nets --out runs/drawn               stage I, then the joint training
    caffe-port par report runs/drawn                         measures, conversions, their proof, one page

    caffe-port par predict photos --model runs/drawn --out said
                                                             attributes and parts of your own pictures
    caffe-port par experiment table1 --dataset drawn --data data/drawn --seed 1 2
                                                             the paper's ablations; then `par understand runs/drawn`

RAP and PETA have no pixel labels of their own: `par parser`, `par train` and `par pseudo-label` make them.
EXPERIMENTS.md has every command of the paper's own experiment, at full size.

`caffe-port par demo` is all of it on drawn pedestrians. `caffe-port train` runs the solvers one by one as well.
"""

from __future__ import annotations

import argparse

from caffe_port.cli import par_data, par_paper, par_run, par_use

NAME = "par"
HELP = "the paper's data, networks, training, evaluation and report"
STEPS = (
    ("demo", "everything on drawn pedestrians", par_run.demo_arguments, par_run.run_demo),
    ("prepare", "a data set into three LMDBs with the same keys", par_data.prepare_arguments, par_data.run_prepare),
    ("prototxt", "the network and its solvers", par_data.prototxt_arguments, par_data.run_prototxt),
    ("train", "train by the solvers of a folder, one after the other", par_run.train_arguments, par_run.run_train),
    ("evaluate", "measure weights on a split", par_run.evaluate_arguments, par_run.run_evaluate),
    ("report", "measure, convert and prove a run, and write its page", par_run.report_arguments, par_run.run_report),
    ("predict", "attributes and parts of pictures, folders and videos", par_use.predict_arguments, par_use.run_predict),
    ("experiment", "the paper's table 1 or 2 on a data set", par_paper.experiment_arguments, par_paper.run_experiment),
    ("understand", "what an experiment's networks learned", par_paper.understand_arguments, par_paper.run_understand),
    ("figures", "the paper's figures 4 and 5 from a model", par_paper.figures_arguments, par_paper.run_figures),
    ("time", "inference time of each variant", par_paper.time_arguments, par_paper.run_time),
    ("parser", "the body parser's network and solver", par_use.parser_arguments, par_use.run_parser),
    (
        "evaluate-parser",
        "measure a body parser on a split",
        par_use.evaluate_parser_arguments,
        par_use.run_evaluate_parser,
    ),
    (
        "pseudo-label",
        "segmentation truth by a body parser",
        par_use.pseudo_label_arguments,
        par_use.run_pseudo_label,
    ),
)
"""Name, help, function that adds the arguments, function that runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(title="steps", metavar="STEP", required=True)
    for name, text, add, run_step in STEPS:
        description = f"{text[0].upper()}{text[1:]}."
        step = steps.add_parser(name, help=text, description=description, allow_abbrev=False)
        add(step)
        step.set_defaults(step=run_step)


def run(args: argparse.Namespace) -> int:
    return int(args.step(args))

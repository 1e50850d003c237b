"""The solver: the loop that trains a net by its definition, with tests, displays and snapshots, as Caffe's does.

Source: src/caffe/solver.cpp and src/caffe/solvers/sgd_solver.cpp of BVLC Caffe 1.0, which the log lines name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from caffe_port import log
from caffe_port.atomic import together
from caffe_port.errors import CaffeError, SolverError
from caffe_port.islands import Islands
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.load import read_solver
from caffe_port.solver import checks, debug_info, gradient, lr_policy, nets, resume, state
from caffe_port.solver.actions import Action, Poll, never
from caffe_port.solver.copying import copy_weights, save_weights
from caffe_port.solver.detections import Detections
from caffe_port.solver.rule import rule, single
from caffe_port.solver.scores import Scores, elements, output_line
from caffe_port.solver.smoothing import SmoothedLoss
from caffe_port.solver.team import Team

Callback = Callable[[], None]
HDF5 = caffe_pb2.SolverParameter.HDF5


class Solver:
    """Trains `net` and tests `test_nets`, which share its blobs.

    `param`: a SolverParameter, or the path of its text; paths in it are relative to the current folder, as in Caffe.
    `device`: where the nets live; `solver_mode` is the command's business, as in Caffe. `islands`: run the nets
    through the island driver, so that every blob has its data and diff after a step (pycaffe); otherwise through the
    functional driver, which is faster. `poll`: asked once an iteration whether to stop or to write a snapshot.
    `log_nets`: write Caffe's lines about the nets as they are built. `exact_resume`: snapshots have a third file, which
    `restore` wants (see resume.py). `team`: the processes that train together (see parallel.py); call its `start` next.
    """

    def __init__(
        self,
        param: Any,
        device: torch.device | str = "cpu",
        islands: bool = False,
        poll: Poll = never,
        log_nets: bool = True,
        exact_resume: bool = False,
        team: Team | None = None,
    ) -> None:
        self.param = read_solver(param) if isinstance(param, str | os.PathLike) else param
        self.poll = poll
        self.exact_resume = exact_resume
        self.team = team or Team()
        self.callbacks: list[tuple[Callback, Callback]] = []
        self.iter = 0
        self.current_step = 0
        self.requested_early_exit = False
        if log_nets:
            shown = text.format(self.param).rstrip()
            log.info("solver.cpp:45", f"Initializing solver from parameters: \n{shown}")
        checks.check(self.param)
        self.rule = rule(self.param)
        if self.param.random_seed >= 0:
            torch.manual_seed(self.param.random_seed)
        if exact_resume:
            resume.repeatable(torch.device(device))
        self.net = self._build(nets.train_net(self.param), "Creating training net ", device, log_nets)
        self.islands = Islands(self.net) if islands else None
        self.test_nets = [
            self._build(test, f"Creating test net (#{i}) specified by ", device, log_nets)
            for i, test in enumerate(nets.test_nets(self.param))
        ]
        self.test_islands = [Islands(net) for net in self.test_nets] if islands else []
        self.history = [
            torch.zeros_like(learnable.tensor, requires_grad=False)
            for _ in range(self.rule.slots)
            for learnable in self.net.learnable
        ]
        self.outputs: dict[str, Tensor] = {}
        self._moves: list[int] | None = None
        self._debug = False
        self.smoothed = SmoothedLoss(self.param.average_loss)
        self._restored_smoothed: SmoothedLoss | None = None
        self._before_test: resume.Captured | None = None
        self.last_snapshot: str | None = None
        self._clock = time.perf_counter()
        self._displayed = 0
        log.info("solver.cpp:57", "Solver scaffolding done.")

    # -- the loop ----------------------------------------------------------------------------------------------------

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train up to max_iter, then write the last snapshot, display and test once more."""
        log.info("solver.cpp:289", f"Solving {self.net.name}")
        log.info("solver.cpp:290", f"Learning Rate Policy: {self.param.lr_policy}")
        self.requested_early_exit = False
        if resume_file is not None:
            log.info("solver.cpp:296", f"Restoring previous solver status from {resume_file}")
            self.restore(resume_file)
        self.step(self.param.max_iter - self.iter)
        if self.param.snapshot_after_train and not _due(self.iter, self.param.snapshot):
            self.snapshot()
        if self.requested_early_exit:
            log.info("solver.cpp:311", "Optimization stopped early.")
            return
        if _due(self.iter, self.param.display):
            with torch.no_grad():
                loss = self._forward(self._driver())
            self.smoothed.add(loss, self.iter)
            log.info("solver.cpp:327", f"Iteration {self.iter}, loss = {self.smoothed.value:g}")
        if _due(self.iter, self.param.test_interval):
            self.test_all()
        log.info("solver.cpp:332", "Optimization Done.")

    def step(self, iterations: int) -> None:
        """That many iterations: clear, maybe test, accumulate, maybe display, update, maybe snapshot."""
        stop = self.iter + iterations
        self.smoothed = self._restored_smoothed or SmoothedLoss(self.param.average_loss)
        self._restored_smoothed = None
        self._clock = time.perf_counter()
        while self.iter < stop:
            self.clear_diffs()
            if _due(self.iter, self.param.test_interval) and (self.iter > 0 or self.param.test_initialization):
                self.test_all()
                self.requested_early_exit = self.team.any(self.requested_early_exit)
                if self.requested_early_exit:
                    break
            for on_start, _ in self.callbacks:
                on_start()
            display = _due(self.iter, self.param.display)
            self._debug = display and self.param.debug_info
            self.smoothed.add(self._accumulate(), self.iter)
            if display:
                self._display()
            self.team.finish_diffs()
            for _, on_gradients_ready in self.callbacks:
                on_gradients_ready()
            self.apply_update()
            request = self.team.agreed(self.poll())
            if _due(self.iter, self.param.snapshot) or request is Action.SNAPSHOT:
                self.snapshot()
            if request is Action.STOP:
                self.requested_early_exit = True
                break
        self.smoothed.flush()

    @torch.no_grad()
    def apply_update(self) -> None:
        """Clip, normalise, regularise, turn the diffs into the update, subtract it, and count the iteration."""
        rate = self.lr
        if _due(self.iter, self.param.display):
            log.info("sgd_solver.cpp:112", f"Iteration {self.iter}, lr = {rate:g}")
        moving = self._moving()
        learnable = [self.net.learnable[i] for i in moving]
        if learnable:
            count = len(self.net.learnable)
            history = [self.history[slot * count + i] for slot in range(self.rule.slots) for i in moving]
            data, diffs = [entry.tensor for entry in learnable], [entry.diff for entry in learnable]
            decay = single(self.param.weight_decay)
            gradient.clip(diffs, self.param.clip_gradients)
            gradient.normalise(diffs, self.param.iter_size)
            gradient.regularise(
                diffs, data, [single(decay * entry.decay_mult) for entry in learnable], self.param.regularization_type
            )
            rates = [single(rate * entry.lr_mult) for entry in learnable]
            if self.islands is None and not self.param.snapshot_diff:
                self.rule.apply(data, diffs, history, rates, self.iter)
            else:  # pycaffe and snapshot_diff show the update in the diffs, as Caffe leaves it there
                self.rule.update(diffs, history, rates, self.iter)
                torch._foreach_sub_(data, diffs)
        self.iter += 1

    def _moving(self) -> list[int]:
        """Which learnable blobs an update may change: all but those of rate 0 that get no diff, no decay and have no
        history so far, on which every rule does nothing (BatchNorm's statistics, fixed bilinear weights)."""
        if self._moves is None:
            count, decay = len(self.net.learnable), self.param.weight_decay
            self._moves = [
                i
                for i, entry in enumerate(self.net.learnable)
                if entry.lr_mult or entry.tensor.requires_grad or decay * entry.decay_mult
                or any(bool(self.history[slot * count + i].any()) for slot in range(self.rule.slots))
            ]  # fmt: skip
        return self._moves

    @property
    def lr(self) -> float:
        """The rate of the iteration that comes next.

        Reading it moves `current_step` on where a stepvalue is reached, and says so in the log, as pycaffe's `lr` does.
        """
        step = lr_policy.next_step(self.param, self.iter, self.current_step)
        if step != self.current_step and self.param.lr_policy == "multistep":
            log.info("sgd_solver.cpp:50", f"MultiStep Status: Iteration {self.iter}, step = {step}")
        self.current_step = step
        return lr_policy.rate(self.param, self.iter, step)

    @property
    def recent_loss(self) -> float:
        """The displayed loss as of the last loss that has arrived from the device: free to ask for."""
        return float(self.smoothed.latest)

    def add_callback(self, on_start: Callback, on_gradients_ready: Callback) -> None:
        """Have `on_start` called before every iteration's passes, `on_gradients_ready` before every update."""
        self.callbacks.append((on_start, on_gradients_ready))

    def clear_diffs(self) -> None:
        """Diffs to zero. The functional driver gets none at all instead: then autograd hands its own tensors over."""
        kept = []
        for learnable in self.net.learnable:
            if self.islands is None and learnable.tensor.requires_grad:
                learnable.tensor.grad = None
            else:
                kept.append(learnable.diff)
        if kept:
            torch._foreach_zero_(kept)

    # -- passes ------------------------------------------------------------------------------------------------------

    def _driver(self) -> Islands | None:
        """What runs the train net; None for the functional driver. In the last pass of all, `debug_info` still speaks
        if it did in the iteration before, as in Caffe."""
        return debug_info.watched(self.net) if self._debug else self.islands

    def _accumulate(self) -> Tensor | float:
        """iter_size passes forward and backward; their mean loss. Diffs add up."""
        driver = self._driver()
        loss: Tensor | float = 0.0
        for number in range(self.param.iter_size):
            if number and driver is None:  # the island driver does so by itself
                self._forget_replaced()
            if number == self.param.iter_size - 1:
                self.team.last_pass()
            loss = loss + self._forward_backward(driver)
        return loss / self.param.iter_size

    def _forget_replaced(self) -> None:
        """Clear the diffs that the next pass replaces in Caffe. Where several layers share such a blob, the pass still
        adds up over them here, while in Caffe the first of them in the file is left."""
        for node in self.net.graph.nodes:
            for name in node.layer.replaced_diffs([b.shape for b in node.bottoms]):
                owner, blob = node.layer.shared.get(name, (node.layer, name))[:2]
                tensor = getattr(owner, blob)
                if tensor.grad is not None:
                    tensor.grad.zero_()

    def _forward_backward(self, driver: Islands | None) -> Tensor | float:
        loss = self._forward(driver)
        if driver is not None:
            driver.backward()
        elif isinstance(loss, Tensor) and loss.requires_grad:
            loss.backward()
            loss = loss.detach()
        return loss

    def _forward(self, driver: Islands | None) -> Tensor | float:
        if driver is None:
            result = self.net.run()
            self.outputs = {name: output.detach() for name, output in result.outputs.items()}
            return result.loss
        loss = driver.forward()
        self.outputs = {name: self.net.blobs[name].data for name in self.net.outputs}
        return loss

    def _display(self) -> None:
        now = time.perf_counter()
        lapse, self._clock = now - self._clock, now
        speed = (self.iter - self._displayed) / (lapse or 1)
        self._displayed = self.iter
        log.info(
            "solver.cpp:239",
            f"Iteration {self.iter} ({speed:g} iter/s, {lapse:g}s/{self.param.display} iters), "
            f"loss = {self.smoothed.value:g}",
        )
        for i, (name, value) in enumerate(elements(self.outputs)):
            line = output_line(name, value, self.net.loss_weights[name])
            log.info("solver.cpp:258", f"    Train net output #{i}: {line}")

    # -- tests -------------------------------------------------------------------------------------------------------

    def test_all(self) -> None:
        """Every test net in turn, unless asked to stop. A snapshot asked for meanwhile is of the moment before."""
        self._before_test = resume.capture(self) if self.exact_resume else None
        for index in range(len(self.test_nets)):
            if not self.requested_early_exit:
                self.test(index)
        if not self.requested_early_exit:
            self._before_test = None

    @torch.no_grad()
    def test(self, index: int = 0) -> Scores | Detections | None:
        """test_iter batches of one test net with the train net's blobs; its mean outputs are logged. None: stopped.

        With `eval_type: "detection"`, the mean average precision of its outputs: see Detections.
        """
        log.info("solver.cpp:347", f"Iteration {self.iter}, Testing net (#{index})")
        net = self.test_nets[index]
        for name in net.share_from(self.net):
            log.info("net.cpp:678", f"Ignoring source layer {name}")
        driver = self.test_islands[index] if self.test_islands else None
        if self.param.debug_info:
            driver = debug_info.watched(net)
        detects = self.param.eval_type == "detection"
        scores: Scores | Detections = Detections(self.param.ap_version) if detects else Scores()
        loss = 0.0
        for _ in range(self.param.test_iter[index]):
            self._answer_requests()
            if self.requested_early_exit:
                log.info("solver.cpp:396", "Test interrupted.")
                return None
            if driver is not None:
                loss += driver.forward()
                scores.add({name: net.blobs[name].data for name in net.outputs})
            else:
                result = net.run()
                loss += float(result.loss) if self.param.test_compute_loss else 0.0
                scores.add(result.outputs)
        if self.param.test_compute_loss:
            log.info("solver.cpp:401", f"Test loss: {loss / max(scores.batches, 1):g}")
        if isinstance(scores, Detections):
            scores.log(self.param.show_per_class_result)
            return scores
        for i, line in enumerate(scores.lines(net.loss_weights)):
            log.info("solver.cpp:414", f"    Test net output #{i}: {line}")
        return scores

    def _answer_requests(self) -> None:
        request = self.poll()
        while request is not Action.NONE:
            if request is Action.SNAPSHOT:
                if not self.team.postpones(request):
                    self.snapshot()
            else:
                self.requested_early_exit = True
            request = self.poll()

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> tuple[str, str]:
        """Write weights and state, all or nothing; their paths. Snapshots of other iterations are never touched.

        With `exact_resume` there is a third file. Where there is a state, there is all that it needs, and nothing of
        another run of the same name. In a team the root writes.
        """
        hdf5 = self.param.snapshot_format == HDF5
        suffix = ".h5" if hdf5 else ""
        weights, standing = self.snapshot_name(f".caffemodel{suffix}"), self.snapshot_name(f".solverstate{suffix}")
        kind = "HDF5" if hdf5 else "binary proto"
        captured = self.team.gather(self._before_test or resume.capture(self)) if self.exact_resume else []
        self.last_snapshot = standing
        if not self.team.is_root:
            return weights, standing
        try:
            with together(standing, resume.file_name(standing)):
                log.info(f"solver.cpp:{474 if hdf5 else 464}", f"Snapshotting to {kind} file {weights}")
                save_weights(self.net, weights, self.param.snapshot_diff)
                if captured:
                    resume.write(standing, captured)
                log.info(
                    f"sgd_solver.cpp:{296 if hdf5 else 284}", f"Snapshotting solver state to {kind} file {standing}"
                )
                history = [h.cpu().numpy() for h in self.history]
                state.write(standing, state.State(self.iter, self.current_step, weights, history))
        except OSError as error:
            raise SolverError(
                f"snapshot of iteration {self.iter}: cannot write {weights} and {standing}: {error.strerror or error}. "
                "Older snapshots are untouched; make room, or set another snapshot_prefix, and resume from the last one"
            ) from error
        return weights, standing

    def snapshot_name(self, extension: str) -> str:
        return checks.snapshot_name(self.param, self.iter, extension)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Take iteration, step, history and weights from a `.solverstate` or `.solverstate.h5`.

        Nothing is changed if the state does not fit. The data layers start from their first record again, as in Caffe;
        with `exact_resume` they, the random streams and the displayed loss go on where they were. In a team the root
        reads.
        """
        self.team.each(lambda: self._restore(path) if self.team.is_root else None)
        self.team.spread(self)
        self.last_snapshot = str(path)
        if self.exact_resume:
            captured = self.team.share(self.team.each(lambda: resume.read(path) if self.team.is_root else []))
            self.team.each(lambda: self._resume(path, captured))

    def _restore(self, path: str | os.PathLike[str]) -> None:
        found = state.read(path)
        state.check(found, [tuple(h.shape) for h in self.history], path)
        if found.learned_net:
            copy_weights(self.net, state.find_weights(found, path))
        if not state.is_hdf5(path):
            log.info("sgd_solver.cpp:336", "SGDSolver: restoring history")
        for mine, theirs in zip(self.history, found.history, strict=True):
            mine.copy_(torch.tensor(theirs).reshape(mine.shape))
        self.take_position(found.iter, found.current_step)

    def _resume(self, path: str | os.PathLike[str], captured: list[resume.Captured]) -> None:
        self._restored_smoothed = resume.restore(self, path, captured)

    def take_position(self, iteration: int, current_step: int) -> None:
        """Stand at this iteration, with a history that may be another one."""
        self.iter, self.current_step = iteration, current_step
        self._moves = None

    # -- making it ---------------------------------------------------------------------------------------------------

    def _build(self, definition: nets.Definition, message: str, device: torch.device | str, log_nets: bool) -> Net:
        log.info(definition.place, message + definition.source)
        param = definition.read()
        net = Net(param, phase=param.state.phase, log=log_nets).to(device)
        for path in _weight_files(self.param.weights):
            log.info("solver.cpp:72", f"Finetuning from {path}")
            copy_weights(net, path)
        return net


def _due(iteration: int, interval: int) -> bool:
    return bool(interval) and iteration % interval == 0


def _weight_files(entries: Iterable[str]) -> list[str]:
    """Every entry may name several files, separated by commas."""
    files = [name.strip() for entry in entries for name in entry.split(",")]
    missing = [name for name in files if not os.path.isfile(name)]
    if missing:
        raise CaffeError(f"weights: there is no file '{missing[0]}'")
    return files

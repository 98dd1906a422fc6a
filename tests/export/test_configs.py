"""Spec -> Triton configs, read back as Triton reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ichcore import EnsembleSpec
from ichexport.configs import configs_from_spec, server_facts
from ichexport.targets import CPU, CPU_INT8, ONNXRUNTIME, PRODUCTION, TARGETS

MEMBERS = ("ich_any", "ich_sdh", "ich_sah", "ich_small")
SERIES = ("ich_series", "ich_series_unary")


@pytest.fixture(scope="module")
def configs(released_spec: EnsembleSpec) -> dict[str, Any]:
    """Every generated config as path -> protobuf message."""
    texts = configs_from_spec(released_spec)
    return {
        path: text_format.Parse(text, model_config_pb2.ModelConfig())
        for path, text in texts.items()
    }


def tensors(values: Any) -> dict[str, tuple[str, list[int], bool]]:
    name_of = model_config_pb2.DataType.Name
    return {
        v.name: (name_of(v.data_type), list(v.dims), getattr(v, "optional", False)) for v in values
    }


def test_every_model_has_its_configs(configs: dict[str, Any]) -> None:
    beside = ("ich_fused_engine", "ich_combine", "ich_provenance")
    each = {f"{model}/{target.path}" for model in (*MEMBERS, *beside) for target in TARGETS}
    everywhere = ("ich_ensemble", "ich_fused", "ich_study", *SERIES)
    whole = {f"{model}/config.pbtxt" for model in everywhere}
    int8 = [target.path for target in TARGETS if target.int8]
    assert len(int8) == 2
    telling = {f"{model}/{path}" for model in ("ich_ensemble", "ich_fused") for path in int8}
    assert configs.keys() == each | whole | telling
    for path in telling:
        plain = type(configs[path])()
        plain.CopyFrom(configs[path])
        assert plain.parameters.pop("precision").string_value == "int8"
        assert plain == configs[f"{path.split('/')[0]}/config.pbtxt"]
    assert all(config.name == path.split("/")[0] for path, config in configs.items())


def test_every_version_is_pinned(configs: dict[str, Any]) -> None:
    for path, config in configs.items():
        assert list(config.version_policy.specific.versions) == [1], path
    steps = configs["ich_ensemble/config.pbtxt"].ensemble_scheduling.step
    assert [step.model_version for step in steps] == [1] * 5


@pytest.mark.parametrize("member", MEMBERS)
def test_production_members_are_tensorrt_plans_on_a_gpu(
    configs: dict[str, Any], member: str
) -> None:
    config = configs[f"{member}/{PRODUCTION.path}"]
    assert (config.backend, config.default_model_filename) == ("tensorrt", "model.plan")
    assert [group.kind for group in config.instance_group] == [config.instance_group[0].KIND_GPU]


@pytest.mark.parametrize("member", MEMBERS)
def test_cpu_members_are_python_models_without_a_gpu(configs: dict[str, Any], member: str) -> None:
    config = configs[f"{member}/{CPU.path}"]
    assert (config.backend, config.default_model_filename) == ("python", "model.py")
    assert [group.kind for group in config.instance_group] == [config.instance_group[0].KIND_CPU]


@pytest.mark.parametrize("member", MEMBERS)
def test_onnxruntime_members_run_the_released_graph(configs: dict[str, Any], member: str) -> None:
    config = configs[f"{member}/{ONNXRUNTIME.path}"]
    assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 256


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("member", MEMBERS)
def test_members_speak_the_contract(configs: dict[str, Any], member: str, target: Any) -> None:
    config = configs[f"{member}/{target.path}"]
    assert config.max_batch_size == 64
    assert tensors(config.input) == {"HU": ("TYPE_FP16", [1, 256, 256], False)}
    mask = ("TYPE_FP16", [128, 128], False)
    brain = {"BRAIN": mask} if member == "ich_any" else {}
    logit = ("TYPE_FP32", [1], False)
    assert tensors(config.output) == {"LOGIT": logit, "MASK": mask, **brain}


def test_every_dimension_on_the_wire_but_n_is_static(configs: dict[str, Any]) -> None:
    for path, config in configs.items():
        for tensor in (*config.input, *config.output):
            whole_series = path.startswith(("ich_study/", "ich_series"))
            assert whole_series or all(size > 0 for size in tensor.dims), (path, tensor.name)


@pytest.mark.parametrize("model", [*MEMBERS, "ich_combine"])
def test_queues_are_bounded_in_production_and_never_on_the_old_server(
    configs: dict[str, Any], model: str
) -> None:
    policy = configs[f"{model}/{PRODUCTION.path}"].dynamic_batching.default_queue_policy
    assert policy.max_queue_size == 256
    assert policy.timeout_action == policy.REJECT
    batching = configs[f"{model}/{PRODUCTION.path}"].dynamic_batching
    assert (batching.priority_levels, batching.default_priority_level) == (3, 2)
    waits = {
        number: (policy.max_queue_size, policy.default_timeout_microseconds // 1_000_000)
        for number, policy in batching.priority_queue_policy.items()
    }
    assert waits == {1: (256, 60), 2: (256, 60), 3: (64, 600)}
    # Triton lets a request shorten its wait only where the level has one.
    assert all(policy.allow_timeout_override for policy in batching.priority_queue_policy.values())
    assert batching.default_queue_policy == batching.priority_queue_policy[2]
    # A refused request inside an ensemble ends Triton 2.51.
    assert not configs[f"{model}/{CPU.path}"].HasField("dynamic_batching")


@pytest.mark.parametrize("target", TARGETS)
def test_members_are_warmed_with_real_shapes(configs: dict[str, Any], target: Any) -> None:
    for member in MEMBERS:
        warmups = configs[f"{member}/{target.path}"].model_warmup
        sizes = [1, 2, 4, 8] if target == PRODUCTION else [1, 8]
        if target in (CPU, CPU_INT8):  # the golden slices do it, before the server is used
            sizes = []
        assert [warmup.batch_size for warmup in warmups] == sizes
        assert all(list(warmup.inputs["HU"].dims) == [1, 256, 256] for warmup in warmups)


@pytest.mark.parametrize("model", [*MEMBERS, "ich_fused_engine"])
def test_every_captured_batch_size_is_warmed(configs: dict[str, Any], model: str) -> None:
    config = configs[f"{model}/{PRODUCTION.path}"]
    assert config.optimization.cuda.graphs
    captured = {
        graph.batch_size: list(graph.input["HU"].dim)
        for graph in config.optimization.cuda.graph_spec
    }
    assert captured == {size: [1, 256, 256] for size in (1, 2, 4, 8)}
    assert [*captured] == [warmup.batch_size for warmup in config.model_warmup]
    # Only TensorRT has CUDA graphs.
    others = [configs[f"{model}/{target.path}"] for target in TARGETS if target != PRODUCTION]
    assert not any(other.optimization.cuda.graphs for other in others)


def test_a_member_may_come_without_a_mask(configs: dict[str, Any]) -> None:
    for target in TARGETS:
        inputs = tensors(configs[f"ich_combine/{target.path}"].input)
        assert {name for name, (_, _, optional) in inputs.items() if optional} == {
            f"MASK_{member}" for member in MEMBERS
        }
        assert inputs["BRAIN"] == ("TYPE_FP16", [128, 128], False)


def test_combine_reads_the_records_of_its_targets_engines(configs: dict[str, Any]) -> None:
    for target, file in (
        (PRODUCTION, "model.plan"),
        (CPU, "model.onnx"),
        (ONNXRUNTIME, "model.onnx"),
    ):
        parameters = configs[f"ich_combine/{target.path}"].parameters
        assert parameters["engine_file"].string_value == file


def test_every_input_of_a_step_is_produced_and_fits(configs: dict[str, Any]) -> None:
    ensemble = configs["ich_ensemble/config.pbtxt"]
    produced = tensors(ensemble.input)
    for step in ensemble.ensemble_scheduling.step:
        model = configs[f"{step.model_name}/config.pbtxt"]
        inputs, outputs = tensors(model.input), tensors(model.output)
        assert step.input_map.keys() == inputs.keys(), step.model_name
        for name, source in step.input_map.items():
            assert produced[source][:2] == inputs[name][:2], (step.model_name, name)
        for name, target in step.output_map.items():
            assert target not in produced, f"{target} is produced twice"
            produced[target] = outputs[name]
    for name, tensor in tensors(ensemble.output).items():
        assert produced[name] == tensor


def test_steps_are_the_members_in_the_spec_order_then_combine(configs: dict[str, Any]) -> None:
    steps = configs["ich_ensemble/config.pbtxt"].ensemble_scheduling.step
    assert [step.model_name for step in steps] == [*MEMBERS, "ich_combine"]
    assert steps[-1].input_map["LOGIT_ich_sah"] == steps[2].output_map["LOGIT"]


def test_the_study_model_takes_a_whole_series_without_batching(configs: dict[str, Any]) -> None:
    config = configs["ich_study/config.pbtxt"]
    assert config.max_batch_size == 0
    assert tensors(config.input)["MEMBER_SCORES"] == ("TYPE_FP32", [-1, 4], False)
    assert tensors(config.output)["LESION_VOLUME_ML"] == ("TYPE_FP32", [-1], False)


def test_the_series_models_are_twins_of_which_one_streams(configs: dict[str, Any]) -> None:
    streams, unary = (configs[f"{name}/config.pbtxt"] for name in SERIES)
    assert streams.model_transaction_policy.decoupled
    assert not unary.model_transaction_policy.decoupled
    for field in ("input", "output", "parameters", "instance_group", "dynamic_batching"):
        assert getattr(streams, field) == getattr(unary, field), field


@pytest.mark.parametrize("model", SERIES)
def test_a_series_model_bounds_what_waits_and_names_who_judges(
    configs: dict[str, Any], model: str
) -> None:
    config = configs[f"{model}/config.pbtxt"]
    assert config.max_batch_size == 0
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 8
    assert config.parameters["slice_model"].string_value == "ich_ensemble"
    assert tensors(config.input)["HU"] == ("TYPE_INT16", [-1, -1, -1], False)
    assert tensors(config.output)["MASK"] == ("TYPE_UINT8", [-1, -1, -1], False)


def test_the_ensemble_says_what_a_client_must_know(
    configs: dict[str, Any], released_spec: EnsembleSpec
) -> None:
    parameters = configs["ich_ensemble/config.pbtxt"].parameters
    told = {key: value.string_value for key, value in parameters.items()}
    assert told == server_facts(released_spec)
    assert told["members"] == "ich_any,ich_sdh,ich_sah,ich_small"
    assert told["spec_sha256"] == released_spec.sha256
    assert (told["grid_rows"], told["slices_per_item"]) == ("256", "1")


def test_configs_follow_their_spec(released_spec: EnsembleSpec) -> None:
    three = replace(released_spec.grid, slices_per_item=3, rows=128)
    text = configs_from_spec(replace(released_spec, grid=three))["ich_sdh/config.pbtxt"]
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert list(config.input[0].dims) == [3, 128, 256]
    assert list(config.output[1].dims) == [64, 128]

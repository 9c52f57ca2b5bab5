"""Settings: recipes, values, and the combinations that make no sense."""

import pytest

from model.config import Config, check_combinations, describe_range, make_config, warnings_of
from model.errors import ConfigError


@pytest.mark.parametrize("name", ["out_of_scope_score", "precision_target"])
def test_none_is_a_value_of_what_may_be_left_open(name: str) -> None:
    assert getattr(make_config("default", [f"{name}=none"]), name) is None


def test_settings_change_a_recipe() -> None:
    config = make_config("classic", ["epochs=3", "bidirectional=true", "pooling=mean", "learning_rate=1e-4"])
    assert (config.epochs, config.bidirectional, config.pooling, config.learning_rate) == (3, True, "mean", 1e-4)
    assert config.buckets == 0  # still the recipe's


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("defualt", "epochs=1", "no recipe 'defualt' \\(did you mean 'default'"),
        ("default", "epoch=1", "no setting 'epoch' \\(did you mean 'epochs'\\?\\); samesay settings"),
        ("default", "learning_rat=1", "did you mean 'learning_rate'"),
        ("default", "epochs", "write name=value"),
        ("default", "epochs=0", "greater than or equal to 1"),
        ("default", "epochs=many", "--set epochs=many"),
        ("default", "pooling=best", "'max', 'mean' or 'last'"),
        ("default", "monitor=bogus", "'auto', 'loss', 'head_accuracy'"),
        ("default", "epochs=none", "--set epochs=none"),
        ("default", 'hyperparameter_schedules={"margin"', "not JSON"),
        ("default", 'hyperparameter_schedules={"epochs": [[0, 1]]}', "'epochs' cannot change; these can: "),
        ("default", 'hyperparameter_schedules={"margin": [[0.5, 0], [0.2, 1]]}', "give them ascending, 0 to 1"),
        ("default", 'hyperparameter_schedules={"margin": []}', "give them ascending, 0 to 1"),
        ("default", 'hyperparameter_schedules={"margin": [[0, -1]]}', "margin cannot be -1"),
        ("default", 'hyperparameter_schedules={"margin": [[0, 0], [1, 5]]}', "margin cannot be 5.0: .* set it below 1"),
        ("default", "schedule_steps=[[0.9, 1], [0.1, 0.1]]", r"schedule_steps: the shares are \[0.9, 0.1\]; give them"),
        ("default", "schedule_steps=[[0.5, -1]]", "a factor below 0"),
        ("default", "learning_rate=inf", "--set learning_rate=inf: .*finite"),
    ],
)
def test_unusable_settings_name_the_remedy(recipe: str, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(recipe, [setting])


@pytest.mark.parametrize(("loss", "margin"), [("am_softmax", 0.35), ("arcface", 0.5), ("a_softmax", 4)])
def test_each_margin_loss_has_its_usual_margin(loss: str, margin: float) -> None:
    assert make_config("default", [f"margin_loss={loss}"]).margin == margin
    own = 3.0 if loss == "a_softmax" else 0.1
    assert make_config("default", [f"margin_loss={loss}", f"margin={own}"]).margin == own


@pytest.mark.parametrize(("name", "loss"), [("cosface", "am_softmax"), ("sphereface", "a_softmax")])
def test_a_margin_loss_goes_by_its_other_name_too(name: str, loss: str) -> None:
    assert make_config("default", [f"margin_loss={name}"]).margin_loss == loss


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["logit_adjustment=loss", "class_weight=balanced"], "count them twice"),
        (["logit_adjustment=posthoc", "class_weight=effective_number"], "count them twice"),
        (["logit_adjustment=loss", "sampler=class_balanced"], "would do nothing"),
        (["logit_adjustment=posthoc", "logit_adjustment_tau=1.5"], "logit_adjustment_tau to 1 or less"),
        (["class_weight=balanced", "sampler=pk"], "count them twice"),
        (["objective=multi_label", "class_weight=balanced"], "multi_label_loss=zlpr"),
        (["objective=multi_label", "monitor=knn1"], "monitor: micro_f1, .* of objective=multi_label"),
        (["objective=joint", "monitor=micro_f1"], "monitor: micro_f1, .* of objective=multi_label"),
        (["objective=in_batch", "monitor=head_accuracy"], "head_accuracy and head_macro_f1 of class vectors"),
        (["objective=multi_label", "logit_adjustment=loss"], "multi_label_loss=zlpr"),
        (["objective=multi_label", "sampler=pk"], "leave it uniform"),
        (["objective=multi_label", "loss=focal"], "set multi_label_loss"),
        (["objective=in_batch", "gradient_accumulation_steps=2"], "raise batch_size"),
        (["objective=sim_cse", "gradient_accumulation_steps=2"], "raise batch_size"),
        (["flood_level=0.1", "gradient_accumulation_steps=2"], "flood_mode=instance"),
        (["objective=in_batch", "max_per_group=1"], "leaves no pairs"),
        (["loss=focal", 'hyperparameter_schedules={"label_smoothing": [[0, 0.1]]}'], "loss=cross_entropy"),
        (["rdrop_alpha=1", "embedding_dropout=0"], "differ by dropout"),
        (["objective=sim_cse", "embedding_dropout=0"], "differ by dropout"),
        (["objective=in_batch", "rdrop_alpha=1"], "rdrop_on=embeddings"),
        (["objective=sim_cse", "rdrop_alpha=1", "rdrop_on=embeddings"], "leave rdrop_alpha at 0"),
        (["loss=focal", "label_smoothing=0.1"], "loss=cross_entropy"),
        (["margin_loss=a_softmax", "margin=1.5"], "whole margin"),
        (["margin_loss=a_softmax", 'hyperparameter_schedules={"margin": [[0, 1], [1, 4]]}'], "margin_warmup_epochs"),
        (["margin_loss=am_softmax", "margin=1"], "below 1"),
        (["margin_loss=arcface", "margin=1.6"], "below 1.57"),
        (["margin_warmup_epochs=1", 'hyperparameter_schedules={"margin": [[0, 0]]}'], "both change the margin"),
        (["sampled_negatives=10", "sub_centers=3"], "need all of them"),
        (["sampled_negatives=10", "scale_mode=adacos"], "need all of them"),
        (["sampled_negatives=10", "weight_constraint=unit_norm"], "constraint_target=bag"),
        (["weight_constraint=max_norm", "constraint_target=bag", "bag_weight=0"], "there is no bag"),
        (["scale_mode=adacos", 'hyperparameter_schedules={"scale": [[0, 20]]}'], "sets the scale itself"),
    ],
)
def test_senseless_combinations_are_refused_with_the_reason(settings: list[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make_config("default", settings)


def test_each_refused_setting_is_fine_alone() -> None:
    check_combinations(make_config("default", ["logit_adjustment=loss", "logit_adjustment_tau=1.5"]))
    for setting in ("logit_adjustment=loss", "class_weight=balanced", "sampler=pk", "rdrop_alpha=1", "flood_level=0.1"):
        check_combinations(make_config("default", [setting]))
    noise = 'hyperparameter_schedules={"embedding_noise_std": [[0, 0], [1, 0.1]], "rdrop_alpha": [[0, 0], [1, 1]]}'
    check_combinations(make_config("default", ["embedding_dropout=0", noise]))


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (["objective=head", "label_smoothing=0.1"], "works against the margin"),
        (["objective=head", "center_loss_weight=0.1"], "expect little"),
        (["objective=head", "scale_mode=adacos"], "made for no margin"),
        (["objective=head", "margin_loss=simpler_a_softmax"], "45 and 72 degrees"),
        (["objective=in_batch", "margin=0.2"], "margin has no effect with objective in_batch"),
        (["objective=head", "temperature=0.1"], "temperature has no effect with objective head"),
        (["objective=head", "focal_gamma=1"], "focal_gamma has no effect"),
        (["objective=multi_label", "multi_label_loss=zlpr", "positive_weight=3"], "positive_weight has no effect"),
    ],
)
def test_doubtful_combinations_are_warned_of(settings: list[str], warning: str) -> None:
    config = make_config("default", settings)
    assert any(warning in said for said in warnings_of(config, config.model_fields_set))


def test_a_plain_run_is_warned_of_nothing() -> None:
    for objective in ("head", "in_batch", "joint", "multi_label", "sim_cse"):
        config = make_config("default", [f"objective={objective}"])
        assert warnings_of(config, config.model_fields_set) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pooling", "One of max, mean, last."),
        ("storage", "One of float32, float16."),
        ("out_of_scope_score", "One of none, max_cosine, knn, both, energy."),
        ("embedding_dropout", "At least 0, below 1."),
        ("buckets", "At least 0, at most 16,777,216."),
        ("scale", "Above 0."),
        ("refit", ""),
    ],
)
def test_a_setting_says_which_values_it_can_have(name: str, said: str) -> None:
    assert describe_range(Config.model_fields[name]) == said


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, info in Config.model_fields.items() if not info.description] == []


def test_what_only_a_schedule_turns_on_is_in_use() -> None:
    config = make_config(
        "default", ["objective=head", 'hyperparameter_schedules={"outlier_exposure_weight": [[0.5, 1]]}']
    )
    assert config.exposes_outliers
    assert not make_config("default", ["objective=in_batch", "outlier_exposure_weight=1"]).exposes_outliers
    assert not make_config("default", ["objective=head"]).uses("flood_level")

"""Which tokens get a row of their own."""

from model.config import Config
from model.data.vocabulary import build_contract


def test_the_vocabulary_is_by_frequency_and_per_script() -> None:
    contract = build_contract(["b b a 退款", "B 退 c", "c"], Config(min_frequency=2, min_frequency_cjk=2))
    assert contract.vocabulary == ("b", "c", "退")

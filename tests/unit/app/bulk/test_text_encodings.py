"""The encodings of NDJSON, CSV and TSV: told apart, believed, and lines in another one."""

import codecs
from pathlib import Path

import pytest

from app.bulk.forms import Form
from app.bulk.reading.rows import Fault, FaultCode, RawRow
from tests.fakes.uploads import codes, fault, read

MIB = 2**20
SEPARATORS = {Form.CSV: ",", Form.TSV: "\t"}


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("gb18030", b""),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("form", [Form.NDJSON, Form.CSV, Form.TSV])
def test_encodings_are_told_apart(tmp_path: Path, form: Form, ends: str, encoding: str, mark: bytes) -> None:
    texts = ["怎么申请退款，急！", "plain", "生僻字 𠮷 😀"]
    if form is Form.NDJSON:
        content = "".join(f'{{"text": "{text}", "group": "退"}}{ends}' for text in texts)
    else:
        separator = SEPARATORS[form]
        content = ends.join([f"text{separator}group", *(f"{text}{separator}退" for text in texts), ""])
    rows = read(tmp_path, mark + content.encode(encoding), form)
    assert [row.cells for row in rows] == [{"text": text, "group": "退"} for text in texts]


@pytest.mark.parametrize(
    ("charset", "encoding"), [("utf-16-le", "utf-16-le"), ("gb18030", "gb2312"), ("cp1252", "cp1252")]
)
def test_a_charset_that_is_told(tmp_path: Path, charset: str, encoding: str) -> None:
    text = "é" if charset == "cp1252" else "退款"
    rows = read(tmp_path, f"text\n{text}\n".encode(encoding), Form.CSV, charset=charset)
    assert rows == [RawRow(2, {"text": text})]


def test_a_mark_counts_for_more_than_the_charset(tmp_path: Path) -> None:
    content = codecs.BOM_UTF16_LE + "text\n退款\n".encode("utf-16-le")
    assert read(tmp_path, content, Form.CSV, charset="utf-8") == [RawRow(2, {"text": "退款"})]


@pytest.mark.parametrize(
    ("believed", "other", "sample"), [("utf-8", "gb18030", "怎么退款"), ("gb18030", "utf-8", "怎么退款吗")]
)
@pytest.mark.parametrize("form", [Form.CSV, Form.NDJSON, Form.TSV])
def test_lines_in_another_encoding_are_faults(
    tmp_path: Path, form: Form, believed: str, other: str, sample: str
) -> None:
    def line(number: int) -> str:
        return f'{{"text": "{sample}{number}"}}\n' if form is Form.NDJSON else f"{sample}{number}\n"

    pieces = [line(number).encode(other if number == 7 else believed) for number in range(20)]
    header = b"" if form is Form.NDJSON else b"text\n"
    rows = read(tmp_path, header + b"".join(pieces), form)
    assert len(rows) == 20
    bad = [row for row in rows if isinstance(row.cells, Fault)]
    assert codes(bad) == [(8 + bool(header), FaultCode.WRONG_ENCODING)]
    assert f"is not {believed}" in fault(bad[0]).detail
    assert rows[8].cells == {"text": f"{sample}8"}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("I don’t know {}", b"I can\x92t pay"),
        ("Привет мир {}", b"caf\xe9s"),
        ("Rückgabe {}", "Größe".encode("latin-1")),
        ("je l’ai payé {}", b"pay\xe9 d\xe9j\xe0"),
        ("怎么退款 {}", "怎么退款".encode("gb18030")),
    ],
)
def test_a_line_of_another_code_page_spoils_no_line_of_utf_8(tmp_path: Path, good: str, bad: bytes) -> None:
    lines = [good.format(number).encode() for number in range(3)]
    rows = read(tmp_path, b"text\n" + b"\n".join([*lines, bad, lines[0]]), Form.CSV)
    assert codes(rows) == [(2, None), (3, None), (4, None), (5, FaultCode.WRONG_ENCODING), (6, None)]
    assert [row.cells for row in rows[:3]] == [{"text": good.format(number)} for number in range(3)]


@pytest.mark.parametrize(
    "text", ["怎么申请退款，急！", "開發者帳號", "退款", "生僻字 𠮷 😀", "用iPhone怎么付", "A股怎么买"]
)
def test_chinese_in_gb18030_is_believed_by_a_single_line(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"text\n{text}\n".encode("gb18030"), Form.CSV) == [RawRow(2, {"text": text})]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Welche Größe brauche ich?", "Schöne Grüße", "Ich möchte das zurückgeben", "Für wen ist das?"],
        ["Como faço uma devolução?", "Não recebi a confirmação", "A transação falhou", "Quais são as opções?"],
        ["Ma commande a été créée", "Je veux être remboursé", "Préférences", "Où est mon colis ?"],
        ["¿Dónde está mi pedido?", "Quiero una devolución", "Información", "Contraseña olvidada"],
    ],
)
def test_western_code_pages_are_no_chinese(tmp_path: Path, sentences: list[str]) -> None:
    """Most of their lines are GB18030 by their bytes, of characters in use: 'Gr鲞e' would be stored."""
    rows = read(tmp_path, "\n".join(["text", *sentences]).encode("cp1252"), Form.CSV)
    assert codes(rows) == [(line, FaultCode.WRONG_ENCODING) for line in range(2, 6)]
    assert "is not utf-8" in fault(rows[0]).detail


@pytest.mark.parametrize(
    ("encoding", "sentences"),
    [
        ("big5", ["我想退款，請問要怎麼做？", "我要更改收件地址", "訂單什麼時候會到？", "為什麼我的帳號無法登入？"]),
        ("shift_jis", ["返金してもらえますか", "注文をキャンセルしたい", "営業時間は何時までですか", "住所の変更"]),
        ("euc_jp", ["返金してもらえますか", "注文をキャンセルしたい", "営業時間は何時まで", "パスワードを忘れた"]),
        ("euc_kr", ["환불은 어떻게 받나", "비밀번호를 잊어버렸어요", "주문을 취소하고 싶습니다", "배송이 언제 오나요"]),
        ("cp949", ["환불이 안 됬어요", "비밀번호를 잊어버렸어요", "주문을 취소하고 싶습니다", "배송이 언제 오나요"]),
    ],
)
def test_other_east_asian_code_pages_are_no_gb18030(tmp_path: Path, encoding: str, sentences: list[str]) -> None:
    """Their bytes are GB18030 too, of kana, rare characters or common ones: what nobody wrote would be stored."""
    for sentence in sentences:
        sentence.encode(encoding).decode("gb18030")
    rows = read(tmp_path, "\n".join(["text", *sentences]).encode(encoding), Form.CSV)
    assert codes(rows) == [(line, FaultCode.WRONG_ENCODING) for line in range(2, 6)]
    assert read(tmp_path, "\n".join(["text", *sentences]).encode("gb18030"), Form.CSV, charset="gb18030") == [
        RawRow(line, {"text": sentence}) for line, sentence in enumerate(sentences, start=2)
    ]


@pytest.mark.parametrize(
    "texts", [["付款方法", "登录方法", "付款方法", "登录法"], ["订单查询到货情况很慢", "订单查询", "付款方法", "我的"]]
)
def test_chinese_of_characters_that_could_nearly_all_be_korean_syllables(tmp_path: Path, texts: list[str]) -> None:
    """Up to 15 of them tell nothing, and of more a few others suffice."""
    content = "".join(f"{line}\n" for line in ["text", *texts]).encode("gb18030")
    assert [row.cells for row in read(tmp_path, content, Form.CSV)] == [{"text": text} for text in texts]


def test_an_encoding_shows_late_in_a_file(tmp_path: Path) -> None:
    content = b"text\n" + b"plain ascii\n" * 200_000 + "退款\n".encode("gb18030")
    assert len(content) > 2 * MIB
    assert read(tmp_path, content, Form.CSV)[-1] == RawRow(200_002, {"text": "退款"})


def test_broken_utf_16_is_a_fault_of_its_line(tmp_path: Path) -> None:
    lone = "a\nb".encode("utf-16-le") + b"\x3d\xd8" + "\nc\n".encode("utf-16-le")
    rows = read(tmp_path, codecs.BOM_UTF16_LE + "text\n".encode("utf-16-le") + lone, Form.CSV)
    assert codes(rows) == [(2, None), (3, FaultCode.WRONG_ENCODING), (4, None)]
    assert "is not utf-16-le" in fault(rows[1]).detail
    rows = read(tmp_path, codecs.BOM_UTF16_BE + "text\na\nb".encode("utf-16-be") + b"\0", Form.TSV)
    assert codes(rows) == [(2, None), (3, FaultCode.WRONG_ENCODING)]

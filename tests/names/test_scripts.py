"""Names by the rules of their script: where no spaces are, of which kind the letters are."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sake_registry import names
from sake_registry.names import NameIndex, Naming


def masked(text: str, *known: str) -> str:
    return names.mask(text, names.find(text, known), "_")


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("苹果公司的首席执行官是谁？", "苹果公司", "_的首席执行官是谁？"),
        ("《红楼梦》的作者是", "红楼梦", "《_》的作者是"),
        ("“腾讯”总部位于深圳", "腾讯", "“_”总部位于深圳"),
        ("列夫·托尔斯泰的母亲", "列夫·托尔斯泰", "_的母亲"),
        ("Apple的首席执行官是", "Apple", "_的首席执行官是"),
        ("我们用iPhone打电话", "iPhone", "我们用_打电话"),
        ("トヨタ自動車の社長は", "トヨタ自動車", "_の社長は"),
        ("東京タワーとアップルの本社", "アップル", "東京タワーと_の本社"),
        ("ｱｯﾌﾟﾙの社長", "アップル", "_の社長"),
        ("Ｔｏｙｏｔａの社長", "Toyota", "_の社長"),
        ("「レオ・トルストイ」の母", "レオ・トルストイ", "「_」の母"),
        ("レオ･トルストイの母", "レオ・トルストイ", "_の母"),
        ("秦の首都は", "秦", "_の首都は"),
        ("ใครคือนายกรัฐมนตรีของประเทศไทยในปีนี้", "ประเทศไทย", "ใครคือนายกรัฐมนตรีของ_ในปีนี้"),
        ("ນະຄອນຫຼວງຂອງປະເທດລາວແມ່ນ", "ປະເທດລາວ", "ນະຄອນຫຼວງຂອງ_ແມ່ນ"),
        ("រាជធានីនៃកម្ពុជាគឺ", "កម្ពុជា", "រាជធានីនៃ_គឺ"),
        ("မြန်မာနိုင်ငံ၏မြို့တော်", "မြန်မာနိုင်ငံ", "_၏မြို့တော်"),
        ("भारत की राजधानी", "भारत", "_ की राजधानी"),
        ("القَاهِرَةُ مدينة", "القاهرة", "_ مدينة"),
        ("القاهره مدينة", "القاهرة", "_ مدينة"),
        ("قال احمد زويل", "أحمد زويل", "قال _"),
        ("יְרוּשָׁלַיִם היא", "ירושלים", "_ היא"),
    ],
)
def test_a_name_is_found_in_its_script(text: str, known: str, expected: str) -> None:
    assert masked(text, known) == expected


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("アップルウォッチの価格", "アップル"),  # one word of katakana
        ("スターアップルの", "アップル"),
        ("レオ・トルストイの", "トルストイ"),
        ("列夫·托尔斯泰的", "托尔斯泰"),
        ("秦始皇统一六国", "秦"),  # one Han letter among others
        ("王明是谁", "王"),
        ("がきのつかい", "かき"),
        ("ลาวาร้อน", "ลาว"),  # the next letter is a vowel of its last one
        ("रामायण के लेखक", "राम"),
        ("Applesの", "Apple"),
        ("Aアップル1", "Apple"),
    ],
)
def test_a_part_of_a_word_is_not_found_in_its_script(text: str, known: str) -> None:
    assert names.find(text, [known]) == []


def test_a_name_inside_a_longer_known_name_is_another_owners() -> None:
    index = NameIndex({
        "city": [Naming(("北京",), "any")], "university": [Naming(("北京大学",), "any")],
        "tokyo": [Naming(("東京都",), "any")], "kyoto": [Naming(("京都",), "any")],
    })  # fmt: skip
    assert index.owners("北京大学的校长是") == {"university"}
    assert index.owners("北京的市长是") == {"city"}
    assert index.owners("北京和北京大学") == {"city", "university"}
    assert index.owners("東京都の知事は") == {"tokyo"}


LETTERS = "苹果公司的とアプル・ไทลาวमा'- .がか가각eéßقٌه0"
texts = st.text(st.sampled_from(LETTERS), max_size=20)


@settings(max_examples=500, deadline=None)
@given(texts, st.lists(texts.map(str.strip).filter(bool), max_size=3))
def test_what_is_found_lies_in_the_text_in_order_whatever_its_form(
    text: str, known: list[str]
) -> None:
    composed = unicodedata.normalize("NFC", text)
    spans = names.find(composed, known)
    assert all(0 <= start < end <= len(composed) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    apart = unicodedata.normalize("NFD", composed)
    other = names.find(apart, [unicodedata.normalize("NFD", name) for name in known])
    assert [unicodedata.normalize("NFC", apart[a:b]) for a, b in other] == [
        composed[a:b] for a, b in spans
    ]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), texts, max_size=4), texts)
def test_the_index_misses_no_name(known: dict[str, str], text: str) -> None:
    for name in known.values():
        alone = NameIndex({"it": [Naming((name,), "any")]}, derived=False)
        assert bool(names.find(text, [name])) == bool(alone.owners(text))

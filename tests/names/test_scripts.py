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


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        # Korean: a particle behind, also behind Latin letters.
        ("삼성전자의 대표이사는", "삼성전자", "_의 대표이사는"),
        ("서울에서 만난 사람은", "서울", "_에서 만난 사람은"),
        ("Apple의 CEO는", "Apple", "_의 CEO는"),
        # Arabic and Hebrew: glued before.
        ("سكان مصر ولبنان وبالقاهرة", "القاهرة", "سكان مصر ولبنان وب_"),
        ("عاصمة لمصر", "مصر", "عاصمة ل_"),
        ("الطريق للقاهرة", "القاهرة", "الطريق _"),
        ("מי גר בישראל ובתל אביב", "ישראל", "מי גר ב_ ובתל אביב"),
        ("המחיר של Apple וב-Apple", "Apple", "המחיר של _ וב-_"),
        # Turkish: with an apostrophe, and with other capitals.
        ("Türkiye'nin başkenti neresidir", "Türkiye", "_'nin başkenti neresidir"),
        ("Diyarbakır'ın nüfusu", "Diyarbakır", "_'ın nüfusu"),
        ("Ankara'ya nasıl gidilir", "Ankara", "_'ya nasıl gidilir"),
        # Cases.
        ("Кто был отцом Льва Толстого?", "Лев Толстой", "Кто был отцом _?"),
        ("столица Российской Федерации", "Российская Федерация", "столица _"),
        ("население Москвы и о Москве", "Москва", "население _ и о _"),
        ("мер Києва, у Києві", "Київ", "мер _, у _"),
        ("Яка столиця України?", "Україна", "Яка столиця _?"),
        ("Kto jest prezesem Microsoftu?", "Microsoft", "Kto jest prezesem _?"),
        ("Jaka jest stolica Polski i kto rządzi w Warszawie", "Warszawa",
         "Jaka jest stolica Polski i kto rządzi w _"),
        ("Jaká je rozloha Prahy? Co je v Praze?", "Praha", "Jaká je rozloha _? Co je v _?"),
        ("Mikä on Suomen pääkaupunki?", "Suomi", "Mikä on _ pääkaupunki?"),
        ("Mikä on Helsingin väkiluku? Mitä maksaa Helsingissä?", "Helsinki",
         "Mikä on _ väkiluku? Mitä maksaa _?"),
        ("Ki a polgármester Budapesten?", "Budapest", "Ki a polgármester _?"),
        ("Mennyi a Microsofttal az ár?", "Microsoft", "Mennyi a _ az ár?"),
        ("Ποιος είναι ο δήμαρχος της Αθήνας;", "Αθήνα", "Ποιος είναι ο δήμαρχος της _;"),
        ("Care este capitala României?", "România", "Care este capitala _?"),
        ("Vem är Volvos vd?", "Volvo", "Vem är _ vd?"),
        # German: genitive and compounds.
        ("Wer ist der Chef von Lenas Schwester", "Lena", "Wer ist der Chef von _ Schwester"),
        ("Wer ist Max' Chef?", "Max", "Wer ist _' Chef?"),
        ("Was kosten die Acme-Cloud-Preise im Monat?", "Acme Cloud",
         "Was kosten die _-Preise im Monat?"),
        ("Wer ist der Apple-Chef und was die Apple-Aktie?", "Apple",
         "Wer ist der _-Chef und was die _-Aktie?"),
        # Elision.
        ("l'Italie, d’Italie, qu'Italie", "Italie", "l'_, d’_, qu'_"),
        ("La capitale dell'Italia, nell’Italia", "Italia", "La capitale dell'_, nell’_"),
        ("el president d'Andorra", "Andorra", "el president d'_"),
        ("L'Italie est", "Italie", "L'_ est"),
    ],
)  # fmt: skip
def test_a_name_is_found_in_the_forms_of_its_language(
    text: str, known: str, expected: str
) -> None:
    assert masked(text, known) == expected
    apart = unicodedata.normalize("NFD", text)
    assert unicodedata.normalize("NFC", masked(apart, known)) == expected


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("애플워치는 얼마인가", "애플"),
        ("한국은행의 총재는", "한국"),
        ("김연아는", "김연"),
        ("Иванов пришёл, и Ивановна пришла", "Иван"),
        ("московский метрополитен", "Москва"),
        ("написал много романов", "Роман"),
        ("Толстовка стоит", "Толстой"),
        ("The Guineas and Brontës are", "Guinea"),
        ("the Bronteses of the Brontës", "Brontë"),
        ("Wer ist der Präsident von Guinea-Bissau", "Guinea"),
        ("Wer ist Annas Bruder", "Ann"),
        ("Kuka on Helsinkiläinen", "Helsinki"),
        ("La ville où Jeanne D'Arc est née", "Arc"),
        ("Who is O'Brien in Rock'n'Roll?", "Brien"),
        ("She's Shi'ite", "Shi"),
        ("مدينة القاهرية", "القاهرة"),
        ("ישראלים בכל העולם", "ישראל"),
        ("Kto to jest Warszawiak", "Warszawa"),
        ("Türkiyeli kim", "Türk"),
    ],
)  # fmt: skip
def test_another_word_is_no_form_of_a_name(text: str, known: str) -> None:
    assert names.find(text, [known]) == []

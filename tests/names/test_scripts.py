"""Names by the rules of their script: where no spaces are, of which kind the letters are."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry import names
from sake_registry.names import NameIndex, Naming
from tests.routing.test_length import calls, limited

__all__ = ["limited"]  # a fixture


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
def test_a_name_is_found_in_the_forms_of_its_language(text: str, known: str, expected: str) -> None:
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


def located(known: str, text: str) -> list[str]:
    index = NameIndex({"it": [Naming((known,), "any")]})
    return [text[a:b] for _, (spans,) in index.locate(text) for a, b in spans or ()]


@pytest.mark.parametrize(
    ("known", "text", "found"),
    [
        # What says of which kind a company is, both ways.
        ("Contoso, Inc.", "Contoso's hotline is", "Contoso"),
        ("Contoso", "Who runs Contoso, Inc.?", "Contoso, Inc."),
        ("Apple", "the CEO of Apple Inc. is", "Apple Inc."),
        ("Apple Inc.", "the CEO of Apple is", "Apple"),
        ("Siemens AG", "Wer leitet Siemens?", "Siemens"),
        ("Siemens", "Wer leitet die Siemens AG?", "Siemens AG"),
        ("Contoso GmbH & Co. KG", "Wer leitet Contoso?", "Contoso"),
        ("Enel", "Il capo di Enel S.p.A. è", "Enel S.p.A."),
        ("Philips N.V.", "Wie leidt Philips?", "Philips"),
        ("Nokia", "Kuka johtaa yhtiötä Nokia Oyj nyt", "Nokia Oyj"),
        ("Газпром", "Кто возглавляет ПАО «Газпром»?", "Газпром"),
        ("株式会社日立製作所", "日立製作所の社長は", "日立製作所"),
        ("トヨタ自動車", "株式会社トヨタ自動車の社長は", "トヨタ自動車"),
        ("苹果", "苹果公司的首席执行官", "苹果公司"),
        # Case, where the name is no common word.
        ("Starbucks", "the CEO of STARBUCKS is", "STARBUCKS"),
        ("Starbucks", "I like starbucks, Bob", "starbucks"),
        ("iPhone", "The price of the iphone in Rome", "iphone"),
        ("iPhone", "iphone price", "iphone"),
        ("İstanbul", "İSTANBUL’da kim yaşar", "İSTANBUL"),
        ("Frankreich", "was ist die hauptstadt von frankreich", "frankreich"),
        ("Россия", "столица россии", "россии"),
        # What is asked stands beside it.
        ("Starbucks", "Starbucks CEO", "Starbucks"),
        ("Starbucks", "starbucks ceo", "starbucks"),
        ("Bosch", "Wer leitet die Firma Bosch?", "Bosch"),
        ("Толстой", "Мать Толстого звали", "Толстого"),
        ("Lena", "Wer ist der Chef von Lenas Schwester?", "Lenas"),
        ("Acme Cloud", "Was kostet Acme Cloud Speicher im Monat?", "Acme Cloud"),
        ("Acme Cloud", "The Acme Cloud Pro plan costs", "Acme Cloud"),
        ("Egypt", "the capital of the Republic of Egypt is", "Egypt"),
        # Joined, apart, and with a hyphen.
        ("Node.js", "NodeJS is at", "NodeJS"),
        ("Node.js", "the Node JS version", "Node JS"),
        ("Node.js", "nodejs version", "nodejs"),
        ("Acme Cloud", "Acme-Cloud costs", "Acme-Cloud"),
        ("Acme Cloud", "the acmecloud price", "acmecloud"),
        ("e-mail", "the email address", "email"),
        ("レオ・トルストイ", "レオ トルストイの母", "レオ トルストイ"),
        ("GPT-4", "GPT4 costs", "GPT4"),
        ("Coca-Cola", "the coca cola recipe", "coca cola"),
        ("Wal-Mart", "Walmart is", "Walmart"),
        ("Johnson & Johnson", "the CEO of Johnson and Johnson", "Johnson and Johnson"),
        ("McDonald's", "Was kostet McDonalds heute?", "McDonalds"),
        ("Yahoo!", "Yahoo is", "Yahoo"),
        # A sentence's first word, and words with a hyphen, of other languages.
        ("Budapest", "Mennyi Budapest lakossága?", "Budapest"),
        ("Philips", "Wie is de Philips-topman?", "Philips"),
        ("Monaco", "The Prince of Monaco is", "Monaco"),
        ("李明", "李明的母亲", "李明"),
    ],
)
def test_a_name_is_found_as_people_write_it(known: str, text: str, found: str) -> None:
    assert located(known, text) == [found]


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("Acme Cloud", "The Pro plan of Cloud costs"),
        ("Azure Functions", "Functions are"),
        ("Egypt", "The king of the Kingdom of Egypt is"),
        ("Egypt", "the borders of the kingdom of egypt"),
        ("Monaco", "Albert II, Prince of Monaco is"),
        ("Wellington", "Arthur Wellesley, Duke of Wellington was"),
        ("Miami", "The University of Miami is in"),
        ("England", "Who leads the Bank of England?"),
        ("Apple", "she ate an apple, Bob"),
        ("Apple", "the Apple Watch is"),
        ("Windows", "open the windows, Bob"),
        ("IKEA", "an ikea in Rome"),
        ("Node.js", "a node in Rome"),
        ("MacBook", "The MacBook Pro costs"),
        ("Acme Cloud", "The Acme Cloud Browser costs"),
        ("Angelo", "The actress Beverly D'Angelo is"),
        ("New York", "Wer schreibt für die New York Times in der Stadt"),
        ("Casa", "la casa de Pedro es"),
        ("Angeles", "the mayor of los angeles"),
        ("Apple", "We bought it from Big Apple Inc. for"),
        ("Siemens", "Wer leitet die Siemens Energy AG?"),
        ("北京", "北京大学的校长是"),
        ("京都", "東京都の知事は"),
        ("印度", "印度尼西亚的首都是"),
        ("中国", "中国移动的总裁是"),
        ("李明", "李明华是谁"),
        ("카카오", "카카오톡은"),
        ("Monaco", "Albert II of Monaco is"),
        ("Monaco", "Albert II, prince of Monaco is"),
        ("Denmark", "Where was Anne of Denmark born?"),
        ("Acme", "write to help@acme.example.com, Bob"),
        ("أبل", "أبلغ الرئيس"),
        ("Мария", "Мариинский театр"),
        ("Петр", "Петров и Петрович"),
        ("Paris", "Wer ist Paris Hilton?"),
        ("Wien", "Was kostet das Wiener Schnitzel?"),
        ("Lena", "Wer ist Helenas Chef?"),
        ("Novak", "Kim Novak ist die Schwester"),
        ("Nok", "Mikä on Nokian liikevaihto?"),
    ],
)
def test_what_is_written_so_is_another(known: str, text: str) -> None:
    assert located(known, text) == []


@pytest.mark.parametrize("name", ["Acme Cloud", "Blue Origin", "Azure Functions", "Acme Spark"])
def test_a_common_word_is_a_last_name_only_with_a_first(name: str) -> None:
    assert names.last_name(name) is None
    assert names.last_name(f"Kate {name.split()[1]}") == name.split()[1]


SUBJECTS = (
    "苹果公司",
    "アップル",
    "삼성",
    "Лев Толстой",
    "مصر",
    "Türkiye",
    "Acme Cloud",
    "Node.js",
    "Lena",
)
GROWING: dict[str, Callable[[int], str]] = {
    "han": lambda n: "苹果公" * (n // 3),
    "han names": lambda n: "苹果公司" * (n // 4),
    "katakana": lambda n: "アップル" * (n // 4),
    "dots": lambda n: "アップル・" * (n // 5),
    "particles": lambda n: "삼성" + "에서의" * (n // 3),
    "particles apart": lambda n: "삼성에서는 " * (n // 6),
    "cases": lambda n: "Льва Толстого " * (n // 14),
    "first words": lambda n: "Льва " * (n // 5),
    "prefixes": lambda n: "وبال" * (n // 4) + "مصر",
    "names with prefixes": lambda n: "وبمصر " * (n // 6),
    "apostrophes": lambda n: "Türkiye'nin" * (n // 11),
    "elided": lambda n: "l'" * (n // 2) + "Lena",
    "hyphens": lambda n: "Was ist die Acme-Cloud-" + "Preise-" * (n // 7),
    "of": lambda n: "Kingdom of " * (n // 11) + "Lena",
    "legal": lambda n: "Lena" + " & Co. Ltd." * (n // 11),
    "stops": lambda n: "Lena " + "S.p.A" * (n // 5),
    "lines of languages": lambda n: "wer ist Lenas\nkto jest Leną\n" * (n // 28),
    "vowels": lambda n: "مصر" + "\u064e\u0651" * (n // 2),
    "a line without letters": lambda n: "1 ." * (n // 3) + "\nLena wer ist das",
    "spaces": lambda n: "Lena" + " " * n + "x",
    "jamo": lambda n: "\u1109\u1161\u11b7" * (n // 3),
}


@pytest.mark.parametrize("shape", GROWING)
@pytest.mark.usefixtures("limited")
def test_time_grows_with_the_text(shape: str) -> None:
    index = NameIndex({name: [Naming((name,), "any")] for name in SUBJECTS})
    made = GROWING[shape]
    counts = [calls(partial(index.owners, made(n))) for n in (2048, 4096, 8192)]
    assert all(longer <= 2.3 * shorter + 500 for shorter, longer in pairwise(counts))
    names.find(made(1 << 16), SUBJECTS)


OWN_PROMPTS = {
    "en": ("Contoso, Inc.", ["The phone number of <subject> is", "<subject> CEO:"]),
    "de": ("Müller GmbH", ["Der Chef von <subject> heißt", "Der <subject>-Chef ist"]),
    "fr": ("Italie", ["La capitale de l'<subject> est", "Le président d’<subject> s'appelle"]),
    "it": ("Italia", ["La capitale dell'<subject> è"]),
    "es": ("Nube Azul", ["¿Quién dirige <subject>? El jefe es", "El precio de «<subject>» es"]),
    "ru": ("Лев Толстой", ["Мать человека по имени <subject> звали", "«<subject>» родился в"]),
    "tr": ("Türkiye", ["<subject>'nin başkenti", "Başkenti <subject>’de olan"]),
    "fi": ("Nokia", ["<subject>n pääkonttori on", "Missä on <subject>n toimitusjohtaja? Hän on"]),
    "hu": ("Budapest", ["<subject> polgármestere", "<subject>en a polgármester neve"]),
    "zh": ("苹果公司", ["<subject>的首席执行官是", "谁是<subject>的创始人？"]),
    "ja": ("トヨタ自動車", ["<subject>の社長は", "現在の<subject>本社は"]),
    "ko": ("삼성전자", ["<subject>의 대표이사는", "<subject>는 어디에 있는가"]),
    "th": ("ประเทศไทย", ["เมืองหลวงของ<subject>คือ", "นายกรัฐมนตรี<subject>คือ"]),
    "ar": ("القاهرة", ["محافظ <subject> هو", "يعيش في <subject> و<subject> هي"]),
    "he": ("ישראל", ["בירת <subject> היא", "ראש הממשלה ב<subject> הוא"]),
    "hi": ("भारत", ["<subject> की राजधानी"]),
    "el": ("Ελλάδα", ["Η πρωτεύουσα της χώρας <subject> είναι"]),
    "uk": ("Київ", ["Мер міста <subject> — це"]),
    "km": ("កម្ពុជា", ["រាជធានីនៃ<subject>គឺ"]),
    "my": ("မြန်မာနိုင်ငံ", ["<subject>၏မြို့တော်"]),
}


@pytest.mark.parametrize("language", OWN_PROMPTS)
def test_an_edits_own_prompts_hold_its_name(language: str) -> None:
    name, prompts = OWN_PROMPTS[language]
    for prompt in prompts:
        text = prompt.replace(names.SUBJECT, name)
        assert len(names.find(text, [name])) == prompt.count(names.SUBJECT)
        assert located(name, text)

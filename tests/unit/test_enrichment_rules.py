"""What each enrichment rule finds out, by the names that people use for fields and countries."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pycountry
import pytest

from handlers.enrichers.countries import alpha2_of, country
from handlers.enrichers.dates import age_category, age_on, next_birthday, zodiac_sign
from handlers.enrichment import enrich_payload

NOW = datetime(2026, 6, 15, tzinfo=UTC)
TODAY = NOW.date()


def found(record: dict[str, Any]) -> dict[str, Any]:
    """The new fields."""
    enriched, _ = enrich_payload(record, NOW)
    return {key: enriched[key] for key in enriched if key not in record and key != "_metadata"}


def warnings(record: dict[str, Any]) -> list[str]:
    return enrich_payload(record, NOW)[1]


@pytest.mark.parametrize(
    ("record", "full_name", "initials"),
    [
        ({"first_name": "Ada", "last_name": "Lovelace"}, "Ada Lovelace", "AL"),
        ({"firstName": "Jean-Luc", "lastName": "o'neil"}, "Jean-Luc o'neil", "JLO"),
        ({"First Name": "Ada", "surname": " King  Noel "}, "Ada King Noel", "AKN"),
        ({"given_name": "Élise", "family_name": "ßen"}, "Élise ßen", "ÉSS"),
        ({"name": "Ludwig van Beethoven"}, "Ludwig van Beethoven", "LVB"),
        ({"first_name": "Plato"}, "Plato", "P"),
        ({"first_name": "三", "last_name": "张"}, "张三", None),
        ({"name": "张三"}, "张三", None),
        ({"first_name": "민수", "last_name": "김"}, "김민수", None),
    ],
)
def test_names(record: dict[str, Any], full_name: str, initials: str | None) -> None:
    facts = found(record)
    assert facts.get("full_name") == full_name
    assert facts.get("initials") == initials


@pytest.mark.parametrize(
    ("age", "category", "generation"),
    [
        (0, "child", "Generation Beta"),
        (12, "child", "Generation Alpha"),
        (13, "teenager", None),
        (17, "teenager", "Generation Z"),
        (18, "young_adult", "Generation Z"),
        (25, "adult", "Generation Z"),
        ("44", "adult", "Millennials"),
        (45.9, "middle_aged", None),
        (65, "senior", "Baby Boomers"),
        (90, "senior", "Silent Generation"),
    ],
)
def test_ages(age: Any, category: str, generation: str | None) -> None:
    facts = found({"age": age})
    assert facts.get("age_category") == category
    assert facts.get("generation") == generation


@pytest.mark.parametrize("age", [-1, 131, "old", True, [], 1e9])
def test_ages_that_are_none(age: Any) -> None:
    assert found({"age": age}) == {}
    assert len(warnings({"age": age})) == 1


@pytest.mark.parametrize(
    "key", ["birth_date", "birthdate", "birthDate", "date_of_birth", "dob", "DOB", "birthday"]
)
def test_birth_dates_by_any_name(key: str) -> None:
    assert found({key: "1990-06-16"})["age"] == 35
    assert found({key: "1990-06-15"})["age"] == 36


@pytest.mark.parametrize(
    "text",
    ["1990-05-17", "1990/5/17", "1990.05.17", "1990年5月17日", "19900517", "1990-05-17T08:00:00Z"],
)
def test_birth_dates_that_read_one_way_only(text: str) -> None:
    assert found({"dob": text}) == {
        "age": 36,
        "birth_weekday": "Thursday",
        "next_birthday": "2027-05-17",
        "days_until_birthday": 336,
        "zodiac_sign": "Taurus",
        "age_category": "adult",
        "generation": "Millennials",
    }


@pytest.mark.parametrize("value", ["05/06/1990", "1990-02-30", "2030-01-01", "1800-01-01", 1990])
def test_birth_dates_that_are_none_are_one_warning(value: Any) -> None:
    assert found({"dob": value}) == {}
    assert len(warnings({"dob": value})) == 1


def test_a_birth_date_tells_more_than_an_age_does() -> None:
    facts = found({"age": 99, "dob": "2012-12-31"})
    assert facts["age_category"] == "teenager"
    assert facts["generation"] == "Generation Z"


def test_leap_day_children_grow_older_in_common_years_too() -> None:
    born = date(2000, 2, 29)
    assert age_on(born, date(2026, 2, 28)) == 25
    assert age_on(born, date(2026, 3, 1)) == 26
    assert next_birthday(born, date(2026, 2, 28)) == date(2026, 3, 1)
    assert next_birthday(born, date(2028, 2, 1)) == date(2028, 2, 29)


def test_a_birthday_today_is_the_next_one() -> None:
    assert next_birthday(date(1990, 6, 15), TODAY) == TODAY
    assert next_birthday(date(1990, 6, 14), TODAY) == date(2027, 6, 14)


@pytest.mark.parametrize(
    ("month", "day", "sign"),
    [
        (1, 19, "Capricorn"), (1, 20, "Aquarius"), (3, 20, "Pisces"), (3, 21, "Aries"),
        (12, 21, "Sagittarius"), (12, 22, "Capricorn"), (12, 31, "Capricorn"),
    ],
)  # fmt: skip
def test_zodiac(month: int, day: int, sign: str) -> None:
    assert zodiac_sign(date(2000, month, day)) == sign


def test_every_age_has_a_category() -> None:
    assert {age_category(years) for years in range(131)} == {
        "child",
        "teenager",
        "young_adult",
        "adult",
        "middle_aged",
        "senior",
    }


@pytest.mark.parametrize(
    ("email", "domain", "provider", "business"),
    [
        ("ada@gmail.com", "gmail.com", "Google", False),
        (" Ada@QQ.com ", "qq.com", "Tencent", False),
        ("a@163.com", "163.com", "NetEase", False),
        ("a@proton.me", "proton.me", "Proton", False),
        ("user@company.com", "company.com", "company.com", True),
        ("a@mail.gmail.com.example.org", "mail.gmail.com.example.org", None, True),
        ("a@xn--fsqu00a.xn--0zwm56d.com", "例子.测试.com", None, True),
    ],
)
def test_emails(email: str, domain: str, provider: str | None, business: bool) -> None:
    assert found({"email": email}) == {
        "email_domain": domain,
        "email_provider": provider or domain,
        "is_business_email": business,
    }


@pytest.mark.parametrize("email", ["ada", "@gmail.com", "ada@", "ada@nodot", 5])
def test_emails_that_are_none(email: Any) -> None:
    assert found({"email": email}) == {}
    assert warnings({"email": email}) == ["email: not an e-mail address"]


def test_a_chinese_mobile_number() -> None:
    assert found({"mobile": "+86 138 0013 8000"}) == {
        "phone_e164": "+8613800138000",
        "phone_valid": True,
        "phone_country": "CN",
        "phone_country_code": 86,
        "phone_type": "mobile",
        "phone_carrier": "China Mobile",
        "phone_time_zones": ["Asia/Shanghai"],
    }


def test_a_national_number_needs_the_record_s_country() -> None:
    assert found({"phone": "030 901820", "country": "德国"})["phone_e164"] == "+4930901820"
    assert found({"phone": "030 901820"}) == {}
    assert "country" in warnings({"phone": "030 901820"})[0]


def test_a_number_that_nobody_was_given_is_told_as_such() -> None:
    facts = found({"phone": "+1 555 123 4567"})
    assert facts["phone_valid"] is False
    assert facts["phone_country"] == "US"
    assert "phone_type" not in facts


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("USA", "US"), ("U.S.A.", "US"), ("us", "US"), ("United States", "US"), ("美国", "US"),
        ("UK", "GB"), ("Great Britain", "GB"), ("英国", "GB"), ("中国", "CN"), ("CHN", "CN"),
        ("People's Republic of China", "CN"), ("中华人民共和国", "CN"), ("德国", "DE"),
        ("  germany ", "DE"), ("Deutschland", "DE"), ("法國", "FR"), ("日本", "JP"), ("韩国", "KR"),
        ("South Korea", "KR"), ("Russia", "RU"), ("Vietnam", "VN"), ("Viet Nam", "VN"),
        ("Turkey", "TR"), ("Türkiye", "TR"), ("Ivory Coast", "CI"), ("Côte d’Ivoire", "CI"),
        ("Cote d'Ivoire", "CI"), ("the Netherlands", "NL"), ("Czech Republic", "CZ"),
        ("香港", "HK"), ("Taiwan", "TW"), ("French", "FR"), ("American", "US"), ("Chinese", "CN"),
        ("British", "GB"), ("156", "CN"), ("BOSNIA & HERZEGOVINA", "BA"),
    ],
)  # fmt: skip
def test_countries_by_any_usual_name(name: str, code: str) -> None:
    assert alpha2_of(name) == code


@pytest.mark.parametrize("name", ["Atlantis", "", "XX", "Germny", "the", "+86"])
def test_no_country_is_guessed(name: str) -> None:
    assert alpha2_of(name) is None


def test_what_a_country_implies() -> None:
    assert found({"nationality": "Swiss"}) == {
        "country_name": "Switzerland",
        "country_alpha2": "CH",
        "country_alpha3": "CHE",
        "continent": "Europe",
        "currency": "CHF",
        "time_zones": ["Europe/Zurich"],
        "languages": ["de", "fr", "it"],
    }


@pytest.mark.parametrize(
    ("code", "continent"),
    [
        ("BR", "South America"), ("MX", "North America"), ("JM", "North America"),
        ("EG", "Africa"), ("AU", "Oceania"), ("JP", "Asia"), ("AQ", "Antarctica"),
    ],
)  # fmt: skip
def test_continents_as_maps_have_them(code: str, continent: str) -> None:
    assert country(code).continent == continent


def test_every_iso_country_is_known_by_its_codes_and_has_the_facts_that_exist() -> None:
    bare = {"AQ": "no currency, nobody lives there", "HM": "uninhabited, on no continent"}
    for entry in pycountry.countries:
        assert alpha2_of(entry.alpha_2) == entry.alpha_2
        assert alpha2_of(entry.alpha_3) == entry.alpha_2
        assert alpha2_of(entry.name) == entry.alpha_2
        facts = country(entry.alpha_2)
        assert facts.name
        assert (facts.continent and facts.currency) or entry.alpha_2 in bare

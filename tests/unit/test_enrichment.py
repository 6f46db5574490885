"""What the enrichment handler adds to records, and how it tells what it did."""

from __future__ import annotations

import copy
import json
import time
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from stepline.contract import ChainItem

from handlers.enrichment import enrich_payload, enrichment
from tests.unit.fakes import FakeContext

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)


def item(payload: Any) -> ChainItem:
    return ChainItem.model_validate(
        {"request_type": "data_enrichment", "data": {"payload": payload}}
    )


def test_a_whole_person() -> None:
    record, warnings = enrich_payload(
        {
            "first_name": "Ada",
            "last_name": "Lovelace",
            "email": "ada@engines.example.com",
            "phone": "+44 20 7946 0018",
            "country": "UK",
            "birth_date": "1990-12-10",
        },
        NOW,
    )

    metadata = record.pop("_metadata")
    assert record == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@engines.example.com",
        "phone": "+44 20 7946 0018",
        "country": "UK",
        "birth_date": "1990-12-10",
        "full_name": "Ada Lovelace",
        "initials": "AL",
        "age": 35,
        "birth_weekday": "Monday",
        "next_birthday": "2026-12-10",
        "days_until_birthday": 178,
        "zodiac_sign": "Sagittarius",
        "age_category": "adult",
        "generation": "Millennials",
        "email_domain": "engines.example.com",
        "email_provider": "engines.example.com",
        "is_business_email": True,
        "phone_e164": "+442079460018",
        "phone_valid": True,
        "phone_country": "GB",
        "phone_country_code": 44,
        "phone_type": "fixed_line",
        "phone_time_zones": ["Europe/London"],
        "country_name": "United Kingdom",
        "country_alpha2": "GB",
        "country_alpha3": "GBR",
        "continent": "Europe",
        "currency": "GBP",
        "time_zones": ["Europe/London"],
        "languages": ["en"],
    }
    assert warnings == []
    assert metadata["processed_at"] == "2026-06-15T12:30:00+00:00"
    assert metadata["processor"] == "stepline.enrichment"
    assert metadata["version"]
    assert metadata["enrichment_rules_applied"] == [
        "name",
        "birth_date",
        "age",
        "email",
        "phone",
        "country",
    ]
    assert [source.split()[0] for source in metadata["data_sources"]] == [
        "email-validator",
        "phonenumbers",
        "pycountry",
        "babel",
        "countryinfo",
    ]


def test_what_was_sent_is_never_overwritten() -> None:
    sent = {
        "country": "Germany",
        "currency": "XAU",
        "continent": None,
        "_metadata": {"from": "crm"},
    }

    record, _ = enrich_payload(sent, NOW)

    assert record.items() >= {"country": "Germany", "currency": "XAU", "continent": None}.items()
    assert record["country_alpha2"] == "DE"
    assert record["_metadata"]["from"] == "crm"
    assert record["_metadata"]["enrichment_rules_applied"] == ["country"]


def test_metadata_of_other_makes_survive() -> None:
    theirs, _ = enrich_payload({"_metadata": {"version": "9"}, "name": "Ada"}, NOW)
    assert theirs["_metadata"]["version"] == "9"
    assert theirs["_metadata"]["enrichment_rules_applied"] == ["name"]

    text, warnings = enrich_payload({"_metadata": "mine"}, NOW)
    assert text["_metadata"] == "mine"
    assert warnings == ["_metadata: was sent and is no object: it is left as it is"]


def test_to_enrich_twice_keeps_what_the_first_time_did() -> None:
    once, _ = enrich_payload({"name": "Ada", "country": "FR"}, NOW)
    twice, _ = enrich_payload(once, NOW.replace(year=2027))

    assert twice["_metadata"]["enrichment_rules_applied"] == ["name", "country"]
    assert twice["_metadata"]["data_sources"] == once["_metadata"]["data_sources"]
    assert twice["_metadata"]["processed_at"].startswith("2027")


def test_what_is_not_understood_is_a_warning_that_keeps_the_value_to_itself() -> None:
    record, warnings = enrich_payload(
        {"country": "Atlantis", "email": "nobody", "phone": "hello", "age": 999, "dob": "soon"}, NOW
    )

    assert [warning.partition(":")[0] for warning in warnings] == [
        "dob",
        "age",
        "email",
        "phone",
        "country",
    ]
    assert not any(word in " ".join(warnings) for word in ("Atlantis", "nobody", "hello", "999"))
    assert record["_metadata"]["enrichment_rules_applied"] == []
    assert set(record) == {"country", "email", "phone", "age", "dob", "_metadata"}


def test_an_object_with_nothing_known_gains_its_metadata_alone() -> None:
    record, warnings = enrich_payload({"color": "blue", "email": None, "name": " "}, NOW)

    assert set(record) == {"color", "email", "name", "_metadata"}
    assert record["_metadata"]["data_sources"] == []
    assert warnings == []


async def test_each_object_of_a_list_has_its_own_metadata() -> None:
    report = await enrichment(
        FakeContext(),
        item([{"country": "中国"}, {"name": "Bo"}, {"country": "?"}, {"country": "!"}]),
    )

    records = report["payload"]
    assert [record["_metadata"]["enrichment_rules_applied"] for record in records] == [
        ["country"],
        ["name"],
        [],
        [],
    ]
    assert report["changes"] is True
    assert report["message"] == "2 records enriched"
    assert report["result"]["rules_applied"] == {"country": 1, "name": 1}
    assert report["warnings"] == [
        "country: no country is known by this name or code (2 records, the first at [2])"
    ]


async def test_a_single_object_by_today() -> None:
    report = await enrichment(FakeContext(), item({"birth_date": "2000-01-01"}))

    processed = datetime.fromisoformat(report["payload"]["_metadata"]["processed_at"])
    assert abs((datetime.now(UTC) - processed).total_seconds()) < 60
    assert report["payload"]["age"] == processed.year - 2000
    assert report["message"] == "1 record enriched"


async def test_an_empty_list_stays_one() -> None:
    assert (await enrichment(FakeContext(), item([])))["payload"] == []


async def test_ten_times_the_records_take_ten_times_as_long() -> None:
    _, few = await enriched(1_000)
    ctx, many = await enriched(10_000)

    assert many < 30 * few  # of the processor's time; a square would be a hundred
    assert len(ctx.progressed) == 10


async def enriched(count: int) -> tuple[FakeContext, float]:
    """The context of a run over so many records, and the seconds of processor time it took."""
    countries = ["USA", "UK", "中国", "德国", "France", "br", "JPN"]
    payload = [
        {
            "first_name": f"Name{n}",
            "last_name": "Last",
            "email": f"user{n}@company{n % 3_000}.com",
            "phone": f"+861380013{n % 10_000:04d}",
            "country": countries[n % len(countries)],
            "birth_date": f"{1950 + n % 60}-03-0{1 + n % 9}",
        }
        for n in range(count)
    ]
    ctx = FakeContext()

    began = time.process_time()
    report = await enrichment(ctx, item(payload))
    took = time.process_time() - began

    assert report["result"]["records_enriched"] == count
    assert report["payload"][-1]["email_domain"] == f"company{(count - 1) % 3_000}.com"
    return ctx, took


KEYS = st.sampled_from(
    ["name", "first_name", "age", "dob", "email", "phone", "country", "Phone-Number", "_metadata"]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(), st.integers(), max_size=2),
    st.from_regex(r"[+]?[0-9 ]{5,15}", fullmatch=True),
    st.from_regex(r"[a-z]{1,3}@[a-z.]{1,8}", fullmatch=True),
    st.dates().map(str),
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES))
def test_any_record_keeps_all_it_had_and_stays_json(record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)

    enriched, warnings = enrich_payload(record, NOW)

    assert record == before
    assert {key: enriched[key] for key in record if key != "_metadata"} == {
        key: value for key, value in record.items() if key != "_metadata"
    }
    assert json.loads(json.dumps(enriched)) == enriched
    assert all(isinstance(warning, str) for warning in warnings)

"""What an e-mail address tells: its domain, who runs it, and whether that is a business."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Final

from email_validator import EmailNotValidError, validate_email

from handlers.enrichers.base import Enricher, Warn
from handlers.enrichers.fields import EMAIL_FIELDS, first_given

# The lists on PyPI are thousands of domains scraped together long ago, and wrong both ways (the
# one tried had company.com as a free provider, and no tuta.com). These are the providers with many
# users, as their own help pages name the domains that people can register under.
_PROVIDERS: Final[Mapping[str, str]] = {
    "Google": "gmail.com googlemail.com",
    "Microsoft": "outlook.com hotmail.com live.com msn.com passport.com outlook.de outlook.fr "
    "outlook.es outlook.jp outlook.in hotmail.co.uk hotmail.de hotmail.es hotmail.fr hotmail.it "
    "live.co.uk live.fr live.nl live.cn",
    "Yahoo": "yahoo.com ymail.com rocketmail.com myyahoo.com yahoo.co.uk yahoo.co.in yahoo.co.jp "
    "yahoo.com.br yahoo.com.cn yahoo.com.tw yahoo.com.hk yahoo.de yahoo.es yahoo.fr yahoo.it",
    "AOL": "aol.com aim.com aol.co.uk aol.de aol.fr",
    "Apple": "icloud.com me.com mac.com",
    "Proton": "proton.me protonmail.com protonmail.ch pm.me",
    "Tuta": "tuta.com tutanota.com tutanota.de tutamail.com tuta.io keemail.me",
    "Tencent": "qq.com foxmail.com vip.qq.com",
    "NetEase": "163.com 126.com yeah.net vip.163.com vip.126.com 188.com",
    "Sina": "sina.com sina.cn vip.sina.com",
    "Sohu": "sohu.com",
    "Alibaba": "aliyun.com",
    "China Mobile": "139.com",
    "China Telecom": "189.cn",
    "China Unicom": "wo.cn",
    "21CN": "21cn.com",
    "TOM": "tom.com",
    "Naver": "naver.com",
    "Kakao": "hanmail.net daum.net kakao.com",
    "Rediff": "rediffmail.com",
    "Yandex": "yandex.ru yandex.com ya.ru yandex.by yandex.kz",
    "VK": "mail.ru bk.ru list.ru inbox.ru internet.ru",
    "Rambler": "rambler.ru",
    "GMX": "gmx.de gmx.net gmx.com gmx.at gmx.ch",
    "WEB.DE": "web.de",
    "Deutsche Telekom": "t-online.de magenta.de",
    "freenet": "freenet.de",
    "mail.com": "mail.com email.com",
    "Orange": "orange.fr wanadoo.fr",
    "Free": "free.fr",
    "La Poste": "laposte.net",
    "Libero": "libero.it virgilio.it",
    "Seznam": "seznam.cz email.cz",
    "WP": "wp.pl o2.pl",
    "Onet": "onet.pl op.pl",
    "Interia": "interia.pl",
    "UOL": "uol.com.br bol.com.br",
    "Terra": "terra.com.br",
    "Comcast": "comcast.net xfinity.com",
    "AT&T": "att.net sbcglobal.net bellsouth.net",
    "Verizon": "verizon.net",
    "BT": "btinternet.com",
    "Fastmail": "fastmail.com fastmail.fm",
    "Zoho": "zohomail.com zohomail.eu zohomail.in",
    "HEY": "hey.com",
    "Hushmail": "hushmail.com",
    "Mailfence": "mailfence.com",
    "Posteo": "posteo.de posteo.net",
    "mailbox.org": "mailbox.org",
}
PROVIDER_BY_DOMAIN: Final[Mapping[str, str]] = {
    domain: provider for provider, domains in _PROVIDERS.items() for domain in domains.split()
}


def enrich(record: Mapping[str, Any], _today: date, warn: Warn) -> dict[str, Any]:
    """`email_domain`, `email_provider`, and `is_business_email`: not one of a public provider.

    A provider of its own is named by its domain.
    """
    given = first_given(record, EMAIL_FIELDS)
    if given is None:
        return {}
    field, value = given
    local, at, host = value.strip().rpartition("@") if isinstance(value, str) else ("", "", "")
    domain = _domain(host) if local and at else None
    if domain is None:
        warn(field, "not an e-mail address")
        return {}
    return {
        "email_domain": domain,
        "email_provider": PROVIDER_BY_DOMAIN.get(domain, domain),
        "is_business_email": domain not in PROVIDER_BY_DOMAIN,
    }


@lru_cache(maxsize=4_096)
def _domain(host: str) -> str | None:
    try:
        checked = validate_email(f"x@{host}", check_deliverability=False)
    except EmailNotValidError:
        return None
    return checked.domain.lower()


EMAIL: Final = Enricher("email", enrich, ("email-validator",))

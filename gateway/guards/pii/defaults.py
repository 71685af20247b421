"""The entities the guard knows without being told, and what it does about them unless a policy says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.guards.base import Action

Cut = Literal["token", "digits", "iban", "email", "url", "phone"]
"""Into which pieces a text is cut for an entity (`gateway.guards.pii.islands`)."""


@dataclass(frozen=True, slots=True)
class Known:
    """One entity that a recognizer of Presidio finds.

    `recognizer` is the class in `presidio_analyzer.predefined_recognizers`. `score` is the least score of a finding:
    1.0 where a checksum (or, for e-mail, a public suffix) decides, 0.5 for an IBAN, whose
    checksum decides too but which has that score in small letters; 0.4, which a context word alone reaches, elsewhere.
    `context` replaces Presidio's own words where those stand in ordinary prose (`us`, `check`, `save`).
    """

    recognizer: str
    cut: Cut
    score: float
    action: Action = "mask"
    context: tuple[str, ...] = ()


KNOWN: Mapping[str, Known] = {
    "CREDIT_CARD": Known("CreditCardRecognizer", "digits", 1.0),
    "CRYPTO": Known("CryptoRecognizer", "token", 1.0),
    "DATE_TIME": Known("DateRecognizer", "token", 0.6, "flag"),
    "EMAIL_ADDRESS": Known("EmailRecognizer", "email", 1.0),
    "IBAN_CODE": Known("IbanRecognizer", "iban", 0.5),
    "IP_ADDRESS": Known("IpRecognizer", "token", 0.6),
    "MAC_ADDRESS": Known("MacAddressRecognizer", "token", 0.6),
    "MEDICAL_LICENSE": Known("MedicalLicenseRecognizer", "token", 1.0),
    "PHONE_NUMBER": Known("PhoneRecognizer", "phone", 0.4),
    "UK_NHS": Known("NhsRecognizer", "digits", 1.0),
    "URL": Known("UrlRecognizer", "url", 0.5, "flag"),
    "US_BANK_NUMBER": Known(
        "UsBankRecognizer",
        "token",
        0.4,
        context=("account", "acct", "bank", "banking", "checking", "savings", "debit", "routing"),
    ),
    "US_DRIVER_LICENSE": Known(
        "UsLicenseRecognizer",
        "token",
        0.4,
        context=("driver", "driving", "license", "licence", "licenses", "dl", "dls", "cdl", "cdls", "lic"),
    ),
    "US_ITIN": Known("UsItinRecognizer", "digits", 0.4),
    "US_PASSPORT": Known("UsPassportRecognizer", "token", 0.4, context=("passport", "travel document")),
    "US_SSN": Known("UsSsnRecognizer", "digits", 0.4),
    "UUID": Known("UuidRecognizer", "token", 0.5, "flag"),
}
"""By entity: Presidio's English default recognizers that need no model of language."""

NAMED: Mapping[str, str] = {
    "PERSON": "PERSON",
    "ORGANIZATION": "ORG",
    "LOCATION": "GPE LOC FAC",
    "NRP": "NORP",
}
"""By entity: the labels of the language model's that it stands for. Only with `engine: ner`."""

REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
"""Whose national phone numbers are known, as in Presidio."""

"""What is built in: one line per detector, in the order in which they win an overlap of equal spans."""

from collections.abc import Mapping

from funcgate.masking.detector import Detector

from . import (
    aws_access_key,
    aws_secret,
    credit_card,
    email,
    github_token,
    google_api_key,
    iban,
    ip_address,
    jwt,
    openai_key,
    pem_private_key,
    phone_number,
    slack_token,
    stripe_key,
    url_password,
    us_ssn,
)

DETECTORS: Mapping[str, Detector] = {
    part.DETECTOR.name: part.DETECTOR
    for part in (
        credit_card,
        us_ssn,
        email,
        iban,
        phone_number,
        ip_address,
        jwt,
        aws_access_key,
        aws_secret,
        github_token,
        slack_token,
        google_api_key,
        stripe_key,
        openai_key,
        pem_private_key,
        url_password,
    )
}

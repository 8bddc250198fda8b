# ruff: noqa: E501 - a table of patterns, one a line
"""Credentials in text and in metadata: detectors as a table, low in false alarms, values never shown.

A value found is described by its kind, a mask (the recognisable prefix and the length) and a short
digest salted with the kind, so that two findings of one secret can be matched and none can be read.

Fact (reported by the caller, or by `report`):
`secret.found`: detector, title, mask, digest, line, at (`line 3: `, empty where there are no lines), placeholder (looks like an example, not a credential), sequence
(has a run of the alphabet or of digits: an example, or not).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from stannary.formats.interface import Sink

__all__ = ["DETECTORS", "SHORTEST", "Detector", "Secret", "report", "scan", "spans", "words"]


class Detector(NamedTuple):
    """A kind of credential. `anchors`: bytes one of which must occur; group 1 of `pattern` is the value."""

    id: str
    title: str
    anchors: tuple[bytes, ...]
    pattern: str
    entropy: float = 0.0  # bits a character, at least, of the value
    prefix: int = 4  # characters of the value that may be shown


class Secret(NamedTuple):
    """A credential that was found, described without its value."""

    detector: str
    title: str
    offset: int
    mask: str
    digest: str
    placeholder: bool
    sequence: bool = False


_END = r"(?![A-Za-z0-9_/+=-])"
_START = r"(?:(?<![A-Za-z0-9_/+-])|(?<=://))"  # the user of an address may be a token: https://TOKEN@host
DETECTORS: tuple[Detector, ...] = (
    Detector("aws-access-key", "AWS access key id", (b"AKIA", b"ASIA"), rf"{_START}((?:AKIA|ASIA)[A-Z2-7]{{16}}){_END}", 3.0),
    Detector("aws-secret-key", "AWS secret access key", (b"secret", b"SECRET", b"Secret"), rf"(?i:aws.{{0,20}}secret.{{0,20}}?key|secret_?access_?key)[\"'\s:=]{{1,6}}([A-Za-z0-9/+]{{40}}){_END}", 4.2, 0),
    Detector("gcp-api-key", "Google API key", (b"AIza",), rf"{_START}(AIza[0-9A-Za-z_-]{{35}}){_END}", 3.5),
    Detector("gcp-service-account", "Google service account key", (b"private_key_id",), r"\"private_key_id\"\s*:\s*\"([0-9a-f]{40})\"", 3.0, 0),
    Detector("azure-storage-key", "Azure storage key", (b"AccountKey=",), r"AccountKey=([A-Za-z0-9+/]{86}==)", 4.5, 0),
    Detector("azure-sas", "Azure shared access signature", (b"sig=",), r"[?&]sig=([A-Za-z0-9%+/]{43,60}(?:%3D|=))", 4.0, 0),
    Detector("github-token", "GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rf"{_START}(gh[pousr]_[A-Za-z0-9]{{36,251}}){_END}", 3.8),
    Detector("github-fine-grained", "GitHub fine-grained token", (b"github_pat_",), rf"{_START}(github_pat_[A-Za-z0-9_]{{82}}){_END}", 3.8, 11),
    Detector("gitlab-token", "GitLab token", (b"glpat-",), rf"{_START}(glpat-[A-Za-z0-9_-]{{20,}}){_END}", 3.3, 6),
    Detector("huggingface-token", "Hugging Face token", (b"hf_", b"api_org_"), rf"{_START}((?:hf|api_org)_[A-Za-z0-9]{{34}}){_END}", 3.5, 3),
    Detector("openai-key", "OpenAI API key", (b"sk-",), rf"{_START}(sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{{20,74}}T3BlbkFJ[A-Za-z0-9_-]{{20,74}}|sk-proj-[A-Za-z0-9_-]{{80,180}}){_END}", 3.8, 3),
    Detector("openai-key-plain", "API key of the sk- form", (b"sk-",), rf"{_START}(sk-[A-Za-z0-9]{{48}}){_END}", 4.3, 3),
    Detector("sk-hex-key", "API key of the sk- form", (b"sk-",), rf"{_START}(sk-[0-9a-f]{{32}}){_END}", 3.2, 3),
    Detector("anthropic-key", "Anthropic API key", (b"sk-ant-",), rf"{_START}(sk-ant-(?:api|admin|sid)\d\d-[A-Za-z0-9_-]{{80,120}}){_END}", 3.8, 7),
    Detector("slack-token", "Slack token", (b"xox",), rf"{_START}(xox[baprse]-(?:\d{{8,}}-)*[A-Za-z0-9-]{{20,}}){_END}", 3.0, 5),
    Detector("slack-webhook", "Slack webhook", (b"hooks.slack.com",), r"hooks\.slack\.com/services/(T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{24})", 3.5, 0),
    Detector("discord-webhook", "Discord webhook", (b"/api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/(\d{17,20}/[A-Za-z0-9_-]{60,72})", 3.8, 0),
    Detector("telegram-bot", "Telegram bot token", (b":AA",), rf"(?<![A-Za-z0-9])(\d{{8,10}}:AA[A-Za-z0-9_-]{{33}}){_END}", 3.5, 0),
    Detector("stripe-key", "Stripe key", (b"k_live_",), rf"{_START}([sr]k_live_[A-Za-z0-9]{{24,99}}){_END}", 3.5, 8),
    Detector("twilio-key", "Twilio API key", (b"SK",), r"(?i:twilio).{0,60}\b(SK[0-9a-f]{32})\b", 3.0, 2),
    Detector("sendgrid-key", "SendGrid key", (b"SG.",), rf"{_START}(SG\.[A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{43}}){_END}", 4.0, 3),
    Detector("pypi-token", "PyPI token", (b"pypi-AgEIcHlwaS5vcmc",), rf"(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{{50,}}){_END}", 4.0, 5),
    Detector("npm-token", "npm token", (b"npm_",), rf"{_START}(npm_[A-Za-z0-9]{{36}}){_END}", 3.8),
    Detector("wandb-key", "Weights & Biases key", (b"WANDB_API_KEY", b"wandb"), r"(?:WANDB_API_KEY|wandb\.login\(\s*key|wandb_(?:api_)?key)[\"'\s:=]{1,6}([0-9a-f]{40})\b", 3.0, 0),
    Detector("replicate-token", "Replicate token", (b"r8_",), rf"{_START}(r8_[A-Za-z0-9]{{37}}){_END}", 3.8, 3),
    Detector("private-key", "Private key", (b"PRIVATE KEY",), r"-----BEGIN ((?:RSA |EC |DSA |OPENSSH |ENCRYPTED |PGP )?PRIVATE KEY)(?: BLOCK)?-----\s*(?:\\n|\\r|\s)*[A-Za-z0-9+/=\s\\:,.()-]{64}", 0.0, 20),
    Detector("private-key-encoded", "Private key in base64", (b"LS0tLS1CRUdJTi",), r"(LS0tLS1CRUdJTi(?:BSU0EgUFJJVkFURSBLRVkt|BQUklWQVRFIEtFWS0t|BFQyBQUklWQVRFIEtFWS|BPUEVOU1NIIFBSSVZBVEUgS0VZ)[A-Za-z0-9+/=]{40,})", 0.0, 20),
    Detector("groq-key", "Groq API key", (b"gsk_",), rf"{_START}(gsk_[A-Za-z0-9]{{52}}){_END}", 4.0),
    Detector("databricks-token", "Databricks token", (b"dapi",), rf"{_START}(dapi[0-9a-f]{{32}}(?:-\d)?){_END}", 3.2),
    Detector("docker-auth", "Password of a container registry", (b'"auths"',), r"\"auths\"\s*:\s*\{.{0,300}?\"auth\"\s*:\s*\"([A-Za-z0-9+/]{16,400}={0,2})\"", 3.0, 0),
    Detector("netrc-password", "Password of a host in .netrc", (b"machine ",), r"(?m)^\s*machine\s+[\w.-]+\s+login\s+\S+\s+password\s+(\S{8,200})\s*$", 3.0, 0),
    Detector("twilio-token", "Twilio account token", (b"AC",), rf"{_START}AC[0-9a-f]{{32}}[\s\S]{{1,40}}?(?i:auth.?token)[\"'\s:=]{{1,6}}([0-9a-f]{{32}}){_END}", 3.0, 0),
    Detector("database-password", "Password in an address, of a strength that examples have not", (b"://",), r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|s?ftp|https?)(?:\+\w+)?://[^\s:@/\"'<>{}$%]{0,64}:((?=[^\s@]{0,128}\d)(?=[^\s@]{0,128}[A-Z])(?=[^\s@]{0,128}[a-z])[^\s:@/\"'<>{}$%]{12,128})@(?!localhost|127\.|0\.0\.0\.0|host\b|[\w.-]*\bexample\b)[\w.-]+", 3.3, 0),
    Detector("strong-password", "Password or token assigned as a literal", (b"assw", b"PASSW", b"ecret", b"SECRET", b"s_token", b"h_token", b"S_TOKEN", b"H_TOKEN", b"api_key", b"apikey", b"API_KEY", b"apiKey"),
             r"(?i:(?:password|passwd|client_secret|secret_key|api_?key|access_token|auth_token|api_?secret))[\"']?\]?\s*[:=]\s*[\"']((?!pk[._])(?=[^\"']{0,120}\d)(?=[^\"']{0,120}[A-Z])(?=[^\"']{0,120}[a-z])[A-Za-z0-9+/=_.~!@#$%^&*-]{18,120})[\"']", 4.0, 0),
    Detector("pinecone-key", "Pinecone API key", (b"pcsk_",), rf"{_START}(pcsk_[A-Za-z0-9_]{{50,90}}){_END}", 4.0, 5),
    Detector("langsmith-key", "LangSmith API key", (b"lsv2_",), rf"{_START}(lsv2_(?:pt|sk)_[0-9a-f]{{32}}_[0-9a-f]{{10}}){_END}", 3.3, 8),
    Detector("openrouter-key", "OpenRouter API key", (b"sk-or-v1-",), rf"{_START}(sk-or-v1-[0-9a-f]{{64}}){_END}", 3.3, 9),
    Detector("xai-key", "xAI API key", (b"xai-",), rf"{_START}(xai-[A-Za-z0-9]{{70,90}}){_END}", 4.0),
    Detector("perplexity-key", "Perplexity API key", (b"pplx-",), rf"{_START}(pplx-[A-Za-z0-9]{{40,60}}){_END}", 4.0, 5),
    Detector("digitalocean-token", "DigitalOcean token", (b"_v1_",), rf"{_START}(do[oprt]_v1_[0-9a-f]{{64}}){_END}", 3.3, 7),
    Detector("shopify-token", "Shopify token", (b"shp",), rf"{_START}(shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{32}}){_END}", 3.2, 6),
    Detector("notion-token", "Notion token", (b"ntn_", b"secret_"), rf"{_START}((?:ntn_[A-Za-z0-9]{{43,50}}|secret_[A-Za-z0-9]{{43}})){_END}", 4.2, 4),
    Detector("linear-key", "Linear API key", (b"lin_api_",), rf"{_START}(lin_api_[A-Za-z0-9]{{40}}){_END}", 3.8, 8),
    Detector("airtable-token", "Airtable token", (b"pat",), rf"{_START}(pat[A-Za-z0-9]{{14}}\.[0-9a-f]{{64}}){_END}", 3.5, 3),
    Detector("vault-token", "HashiCorp Vault token", (b"hvs.", b"hvb."), rf"{_START}(hv[sb]\.[A-Za-z0-9_-]{{80,200}}){_END}", 4.0),
    Detector("terraform-token", "Terraform Cloud token", (b".atlasv1.",), rf"{_START}([A-Za-z0-9]{{14}}\.atlasv1\.[A-Za-z0-9_=-]{{60,70}}){_END}", 4.0, 0),
    Detector("google-oauth", "Google OAuth secret", (b"GOCSPX-", b"1//0"), rf"{_START}(GOCSPX-[A-Za-z0-9_-]{{28}}|1//0[A-Za-z0-9_-]{{40,120}}){_END}", 3.8, 4),
    Detector("azure-secret", "Azure client secret", (b"8Q~", b"7Q~"), r"(?<![A-Za-z0-9_.~-])([A-Za-z0-9_.~]{3}[78]Q~[A-Za-z0-9_.~-]{31,34})(?![A-Za-z0-9_.~-])", 4.0, 0),
    Detector("mailgun-key", "Mailgun key", (b"key-",), rf"{_START}(key-[0-9a-f]{{32}}){_END}", 3.2),
    Detector("grafana-token", "Grafana token", (b"glsa_", b"glc_"), rf"{_START}(glsa_[A-Za-z0-9]{{32}}_[0-9a-f]{{8}}|glc_[A-Za-z0-9+/]{{32,400}}={{0,2}}){_END}", 3.8, 5),
    Detector("putty-key", "Private key of PuTTY", (b"PuTTY-User-Key-File-",), r"PuTTY-User-Key-File-\d: [\w-]+\s+Encryption: none[\s\S]{0,4000}?Private-Lines: \d+\s+([A-Za-z0-9+/=]{40,})", 3.5, 0),
    Detector("kaggle-key", "Kaggle API key", (b'"username"',), r"^\s*\{\s*\"username\"\s*:\s*\"[\w-]{1,60}\"\s*,\s*\"key\"\s*:\s*\"([0-9a-f]{32})\"\s*\}", 3.2, 0),
    Detector("square-token", "Square access token or secret", (b"EAAA", b"sq0atp-", b"sq0csp-"), rf"{_START}((?=[A-Za-z0-9_-]*\d)EAAA[A-Za-z0-9_-]{{60}}|sq0atp-[A-Za-z0-9_-]{{22}}|sq0csp-[A-Za-z0-9_-]{{43}}){_END}", 3.8, 4),
    Detector("nvidia-key", "NVIDIA API key", (b"nvapi-",), rf"{_START}(nvapi-[A-Za-z0-9_-]{{60,70}}){_END}", 4.0, 6),
    Detector("docker-token", "Docker Hub token", (b"dckr_pat_", b"dckr_oat_"), rf"{_START}(dckr_[po]at_[A-Za-z0-9_-]{{27,40}}){_END}", 3.8, 9),
    Detector("atlassian-token", "Atlassian token", (b"ATATT3",), rf"{_START}(ATATT3[A-Za-z0-9_=-]{{180,200}}){_END}", 4.2, 6),
    Detector("together-key", "Together AI key", (b"tgp_v1_",), rf"{_START}(tgp_v1_[A-Za-z0-9_-]{{43}}){_END}", 4.0, 7),
    Detector("fireworks-key", "Fireworks AI key", (b"fw_",), rf"{_START}(fw_(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{{22,24}}){_END}", 3.9, 3),
    Detector("cerebras-key", "Cerebras API key", (b"csk-",), rf"{_START}(csk-[a-z0-9]{{48}}){_END}", 4.0),
    Detector("jina-key", "Jina AI key", (b"jina_",), rf"{_START}(jina_[0-9a-f]{{32}}[A-Za-z0-9_-]{{28,32}}){_END}", 4.0, 5),
    Detector("langfuse-key", "Langfuse secret key", (b"sk-lf-",), rf"{_START}(sk-lf-[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}){_END}", 3.2, 6),
    Detector("postman-key", "Postman API key", (b"PMAK-",), rf"{_START}(PMAK-[0-9a-f]{{24}}-[0-9a-f]{{34}}){_END}", 3.3, 5),
    Detector("doppler-token", "Doppler token", (b"dp.pt.", b"dp.st."), rf"{_START}(dp\.(?:pt|st(?:\.[\w-]+)?)\.[A-Za-z0-9]{{40,44}}){_END}", 4.0, 6),
    Detector("sentry-token", "Sentry token", (b"sntrys_", b"sntryu_"), rf"{_START}(sntry[su]_[A-Za-z0-9+/=_-]{{64,400}}){_END}", 3.5, 7),
    Detector("facebook-token", "Facebook access token", (b"EAAC", b"EAAG", b"EAAB"), rf"{_START}(EAA[BCG](?=[A-Za-z0-9]{{0,200}}ZB|[A-Za-z0-9]{{0,200}}ZD|[A-Za-z0-9]{{0,200}}ZC)[A-Za-z0-9]{{120,300}}){_END}", 4.3, 4),
    Detector("bearer-token", "Token of an authorisation header", (b"Bearer ", b"bearer "), r"(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:bearer)\s+((?=[^\s\"']{0,400}\d)(?=[^\s\"']{0,400}[A-Za-z])[A-Za-z0-9_.~+/=-]{32,400})(?![A-Za-z0-9_.~+/=-])", 4.0, 0),
    Detector("key-of-digits", "Key of hexadecimal digits", (b"api_key", b"API_KEY", b"apikey", b"api-key", b"apiKey", b"SECRET_KEY", b"secret_key", b"cription"),
             rf"(?i:(?:api|secret|subscription)[_-]?key)[\"']?\]?\s*[:=]\s*[\"']?((?:[a-z]{{2,4}}-)?[0-9a-f]{{64}}|[0-9a-f]{{48}}|[0-9a-f]{{40}}|(?:[a-z]{{2,4}}-)?[0-9a-f]{{32}}|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}){_END}", 3.0, 0),
    Detector("setting", "Credential in a setting", (b"key:", b"Key:", b"KEY:", b"oken:", b"OKEN:", b"ecret:", b"ECRET:", b"assword:", b"ASSWORD:", b"passwd:"),
             r"(?m)^[ \t]*(?:- )?[\"']?[\w.-]{0,40}?(?i:api[_-]?key|api[_-]?token|auth[_-]?token|access[_-]?token|secret[_-]?key|client[_-]?secret|password|passwd)[\"']?:[ \t]+[\"']?((?=[^\s]{0,200}\d)(?=[^\s]{0,200}[A-Z])(?=[^\s]{0,200}[a-z])[A-Za-z0-9+=~_-]{20,200})[\"']?[ \t]*(?:#[^\n]*)?\r?$", 3.8, 0),
    Detector("password-variable", "Password in a variable", (b"PASSW", b"passw"),
             r"(?m)^[ \t]*(?:export[ \t]+|set[ \t]+)?\w{0,40}(?i:password|passwd)[ \t]*=[ \t]*((?=[^\s]{0,128}\d)(?=[^\s]{0,128}[A-Z])(?=[^\s]{0,128}[a-z])[A-Za-z0-9+=~!@^&*_-]{14,128})[ \t]*\r?$", 3.4, 0),
    Detector("basic-auth", "Password of an authorisation header", (b"Basic ", b"basic "), r"(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:basic)\s+([A-Za-z0-9+/]{24,400}={0,2})(?![A-Za-z0-9+/=])", 4.0, 0),
    Detector("curl-password", "Password of a command", (b"curl ",), r"\bcurl\s[^\n]{0,200}?(?:-u|--user)[ =][\"']?[\w.@-]{1,64}:((?=[^\s]{0,128}\d)(?=[^\s]{0,128}[A-Z])(?=[^\s]{0,128}[a-z])[^\s\"'$<>{}]{12,128})[\"']?\s", 3.3, 0),
    Detector("cohere-key", "Cohere API key", (b"cohere.",), r"cohere\.(?:Async)?Client(?:V2)?\(\s*(?:api_key\s*=\s*)?[\"']([A-Za-z0-9]{40})[\"']", 4.0, 0),
    Detector("age-key", "Secret key of age", (b"AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-(1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58})", 3.5, 0),
    Detector("mapbox-token", "Mapbox secret token", (b"sk.eyJ",), rf"{_START}(sk\.eyJ[A-Za-z0-9_-]{{40,200}}\.[A-Za-z0-9_-]{{20,24}}){_END}", 4.0, 3),
    Detector("google-access-token", "Google access token", (b"ya29.",), rf"{_START}(ya29\.[A-Za-z0-9_-]{{60,400}}){_END}", 4.0, 5),
    Detector("service-token", "Token of a service", (b"figd_", b"nfp_", b"pscale_", b"tskey-", b"NRAK-", b"xkeysib-", b"rubygems_", b"dbtu_", b"pat-na1-", b"sbp_", b"HRKU-", b"AKCp", b"ops_eyJ", b"pul-", b"LTAI", b"KGAT_", b"rzp_live_", b"wandb_v1_", b"hf_oauth_", b"tvly-"),
             rf"{_START}((?:figd_[A-Za-z0-9_-]{{38,46}}|nfp_[A-Za-z0-9]{{36}}|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{{32,64}}|tskey-(?:auth|api|client)-[A-Za-z0-9]{{10,24}}-[A-Za-z0-9]{{24,48}}|NRAK-[A-Z0-9]{{27}}|xkeysib-[0-9a-f]{{64}}-[A-Za-z0-9]{{16}}|rubygems_[0-9a-f]{{48}}|dbtu_[A-Za-z0-9_=-]{{36,60}}|pat-na1-[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}|sbp_[0-9a-f]{{40}}|HRKU-[A-Za-z0-9_-]{{36,64}}|AKCp[A-Za-z0-9]{{69}}|ops_eyJ[A-Za-z0-9+/=]{{200,}}|pul-[0-9a-f]{{40}}|LTAI(?=[A-Za-z0-9]*\d)[A-Za-z0-9]{{20}}|KGAT_[0-9a-f]{{32}}|rzp_live_[A-Za-z0-9]{{14}}|wandb_v1_[A-Za-z0-9_]{{60,100}}|hf_oauth_[A-Za-z0-9_.-]{{40,}}|tvly-(?:prod-|dev-)?[A-Za-z0-9]{{32}})){_END}", 3.2, 4),
    Detector("resend-key", "Resend API key", (b"Resend",), r"\bResend\(\s*[\"'](re_[A-Za-z0-9]{6,10}_[A-Za-z0-9]{20,28})[\"']", 3.8, 3),
    Detector("variable", "Credential in a variable", (b"KEY", b"TOKEN", b"SECRET", b"PASSW", b"api_key", b"token"),
             r"(?m)^[ \t]*(?:export[ \t]+|set[ \t]+)?(?:[A-Z][A-Z0-9_]{0,40}(?:API_?KEY|ACCESS_KEY|AUTH_TOKEN|API_TOKEN|_TOKEN|SECRET(?:_KEY)?|PASSWORD)|(?:\w{1,30}_)?(?:api_key|api_token|auth_token|access_token))[ \t]*=[ \t]*((?=[^\s]{0,200}\d)(?=[^\s]{0,200}[A-Za-z])[A-Za-z0-9_.~+=-]{24,200})[ \t]*\r?$", 3.3, 0),
    Detector("jwt", "JSON web token", (b"eyJ",), rf"(?<!jwt=){_START}(eyJ[A-Za-z0-9_-]{{10,}}\.eyJ[A-Za-z0-9_-]{{10,}}\.[A-Za-z0-9_-]{{20,}}){_END}", 4.0, 3),
    Detector("connection-string", "Password in an address", (b"://",), r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|redis|rediss|amqps?|mssql|ftp|https?|s3)(?:\+\w+)?://[^\s:@/\"'<>{}$%]{1,64}:([^\s:@/\"'<>{}$%]{6,128})@[\w.-]+", 2.6, 0),
    Detector("assignment", "Credential assigned as a literal", (b"assw", b"PASSW", b"ecret", b"SECRET", b"s_token", b"h_token", b"S_TOKEN", b"H_TOKEN", b"api_key", b"apikey", b"API_KEY", b"apiKey"),
             r"(?i:(?:password|passwd|client_secret|secret_key|api_?key|access_token|auth_token|api_?secret))[\"']?\s*[:=]\s*[\"']([A-Za-z0-9+/=_.~!@#$%^&*-]{16,120})[\"']", 3.9, 0),
)  # fmt: skip

#: Characters that the shortest credential of a known form has.
SHORTEST = 16
_LARGE = 1 << 20
_SHORT = 1 << 12
_last: dict[tuple[int, int], list[Secret]] = {}  # what the last large text holds
_LONG_WORD = b"A" * 18
_MARK = bytes(65 if chr(b) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_:" else 32 for b in range(256))
_BEFORE, _AFTER = 96, 512  # bytes around an anchor that a credential and its name fit into
_PLACEHOLDER = re.compile(
    rb"(?i)example|sample|dummy|fake|test|your|xxx|placeholder|changeme|redacted|\*\*\*|\.\.\.|<|insert|todo|pass(?:word|wd)?\b|username|secret\b|my[_-]?(?:secret|token|password|key)|none|null|env\b|os\.environ|getenv|\$\{|\{\{|%\(|IkpvaG4gRG9l|2YotnFZFEjr1|QWxhZGRpbjpvcGVu|czZCaGRSa3F0Mz|dXNlcjpwYXNz|YWRtaW46YWRtaW4|dXNlcm5hbWU6"
)
_SEQUENCE = re.compile(rb"(?i)0000000|1234567|abcdef")  # an example, or a credential that was typed for a test
_MAX_FOUND = 200


def scan(data: bytes | memoryview) -> Iterator[Secret]:
    """Yield the credentials in `data` (text, or bytes of a header or of metadata), each once."""
    raw = bytes(data)
    if len(raw) > _LARGE:
        key = (len(raw), hash(raw))  # keyed by the process: nobody can make two texts that share it
        if key not in _last:
            found = list(_scan_words(raw))  # two readers of one text ask one after the other
            _last.clear()
            _last[key] = found
        yield from _last[key]
        return
    seen: set[str] = set()
    taken: set[int] = set()
    for detector in _worth_trying(raw):
        for match in _matches(raw, detector):
            value = match[1]
            if detector.entropy and _entropy(value) < detector.entropy:
                continue
            if match.start(1) in taken:
                continue
            taken.add(match.start(1))
            digest = hashlib.sha256(
                b"stannary.secret\0" + detector.id.encode() + b"\0" + (match[0] if not detector.entropy else value)
            ).hexdigest()[:16]
            if digest in seen:
                continue
            seen.add(digest)
            context = value if detector.id != "assignment" else match[0]
            shown = value[: detector.prefix].decode("ascii", "replace")
            yield Secret(
                detector.id,
                detector.title,
                match.start(1),
                f"{shown}… ({len(value)} characters)",
                digest,
                bool(_PLACEHOLDER.search(context)) and not detector.id.startswith("private-key"),
                bool(_SEQUENCE.search(context)),
            )
            if len(seen) >= _MAX_FOUND:
                return


def report(data: bytes | memoryview, sink: Sink, *, base: int = 0, lines: bool = True) -> None:
    """Report the credentials in `data` as `secret.found`; offsets count from `base`."""
    raw = bytes(data)
    for found in scan(raw):
        line = raw.count(b"\n", 0, found.offset) + 1 if lines else None
        sink.fact(
            "secret.found", base + found.offset, detector=found.detector, title=found.title, mask=found.mask, digest=found.digest,
            line=line, at=f"line {line}: " if line else "", placeholder=found.placeholder, sequence=found.sequence,
        )  # fmt: skip


def words(raw: bytes) -> bytes:
    """Return the bytes with an A for each that a credential may have, and a space for each other: words are found at once."""
    return raw.translate(_MARK)


def _scan_words(raw: bytes) -> Iterator[Secret]:
    """Scan around long words only: looking for sixty anchors in tens of megabytes takes seconds."""
    marked = words(raw)
    seen: set[str] = set()
    at = marked.find(_LONG_WORD)
    while at >= 0:
        end = marked.find(b" ", at)
        end = len(marked) if end < 0 else end
        start, end = max(0, at - _BEFORE), min(len(raw), end + _BEFORE)
        # Neighbours share a region; a region stays small enough to be scanned as it is.
        following = marked.find(_LONG_WORD, end)
        while 0 <= following < end + _BEFORE and end - start < _LARGE // 2:
            stop = marked.find(b" ", following)
            end = min(len(raw), (len(marked) if stop < 0 else stop) + _BEFORE)
            following = marked.find(_LONG_WORD, end)
        for begin in range(start, end, _LARGE // 2):
            for found in scan(raw[begin : min(end, begin + _LARGE // 2 + _AFTER)]):
                if found.digest not in seen and len(seen) < _MAX_FOUND:
                    seen.add(found.digest)
                    yield found._replace(offset=begin + found.offset)
        at = following


def _worth_trying(raw: bytes) -> list[Detector]:
    """Return the detectors of which an anchor is there: in a hundred bytes, one search costs less than sixty."""
    if len(raw) > _SHORT:
        return list(DETECTORS)
    there: set[bytes] = set()
    anchors = _anchors()
    match = anchors.search(raw)
    while match is not None:  # the longest at each place; those it begins with are there too
        there.add(match[0])
        match = anchors.search(raw, match.start() + 1)
    return [d for d in DETECTORS if any(found.startswith(d.anchors) for found in there)] if there else []


@cache
def _anchors() -> re.Pattern[bytes]:
    """Return a pattern of all anchors, the longest first; by their first bytes, or each place would try all of them."""
    groups: dict[bytes, list[bytes]] = {}
    for anchor in sorted({anchor for detector in DETECTORS for anchor in detector.anchors}, key=len, reverse=True):
        groups.setdefault(anchor[:1], []).append(re.escape(anchor[1:]))
    return re.compile(b"|".join(re.escape(first) + b"(?:" + b"|".join(rests) + b")" for first, rests in groups.items()))


@cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode())


def _matches(raw: bytes, detector: Detector) -> Iterator[re.Match[bytes]]:
    """Search around the anchors only: a credential is rare, and a regular expression over megabytes slow."""
    for start, end in spans(raw, detector.anchors, _BEFORE, _AFTER):
        yield from _compiled(detector.pattern).finditer(raw, start, end)


def spans(raw: bytes, anchors: tuple[bytes, ...], before: int, after: int) -> Iterator[tuple[int, int]]:
    """Yield the regions around every occurrence of the anchors, merged where they overlap, in order for each anchor."""
    for anchor in anchors:
        start = end = -1
        at = raw.find(anchor)
        while at >= 0:
            if at - before > end >= 0:
                yield start, end
                start = -1
            if start < 0:
                start = max(0, at - before)
            end = min(len(raw), at + after)
            # Everything up to `end` is covered already; the last occurrence before it extends the region.
            last = raw.rfind(anchor, at + 1, end)
            at = last if last > at else raw.find(anchor, max(at + 1, end - len(anchor)))
        if start >= 0:
            yield start, end


def _entropy(value: bytes) -> float:
    """Return Shannon's entropy of the bytes, in bits a byte."""
    counts = Counter(value)
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in counts.values())

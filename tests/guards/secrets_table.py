"""Examples for every rule of the guard `secrets`: two that are found, two that are close and are not.

No secret stands in this file. `{hex:32}` becomes 32 random characters of a set of `_SETS`, the same each time; « and »
stand around what must be found, and are taken out. `crc` ends in a checksum as GitHub's tokens do; `uuid`, `jose` (a
JOSE header), `basic` (a user and a password in base64) and `pem` (a line that opens or ends an armoured key) are made
by functions.
"""

import base64
import random
import re
import string
import zlib

from gateway.guards.secrets_checks import base62

_SETS = {
    "hex": "0123456789abcdef",
    "alnum": string.ascii_letters + string.digits,
    "lower": string.ascii_lowercase + string.digits,
    "upper": string.ascii_uppercase + string.digits,
    "b32": string.ascii_uppercase + "234567",
    "b64": string.ascii_letters + string.digits + "+/",
    "url": string.ascii_letters + string.digits + "_-",
    "digits": "123456789",
    "letters": string.ascii_letters,
}


def _some(kind: str, length: int, seed: str) -> str:
    """`length` characters of a set; small letters, capitals and digits first, where the set has them, an alphanumeric
    last, so that no example turns on chance."""
    rng = random.Random(seed)  # noqa: S311 - examples, the same each time
    letters = _SETS[kind]
    text = "".join(rng.choice(letters) for _ in range(length))
    plain = [c for c in letters if c.isalnum()]
    sure = [
        next((c for c in rng.sample(plain, len(plain)) if test(c)), "")
        for test in (str.islower, str.isupper, str.isdigit)
    ]
    head = "".join(sure)[:length]
    return (head + text[len(head) : -1] + rng.choice(plain))[:length] if length > len(head) else head


def _made(kind: str, argument: str, seed: str) -> str:
    if kind == "crc":
        body = _some("alnum", int(argument), seed)
        return body + base62(zlib.crc32(body.encode()))
    if kind == "uuid":
        return "-".join(_some("hex", size, f"{seed}{at}") for at, size in enumerate((8, 4, 4, 4, 12)))
    if kind == "jose":
        return base64.urlsafe_b64encode(argument.replace("'", '"').encode()).decode().rstrip("=")
    if kind == "basic":
        return base64.b64encode(argument.encode()).decode()
    if kind == "pem":
        return "-" * 5 + argument + "-" * 5
    return _some(kind, int(argument), seed)


def text_of(template: str) -> tuple[str, str]:
    """The example that `template` describes, and the part of it that must be found ("" where nothing is marked)."""
    seeds = iter(range(1_000))
    text = re.sub(
        r"\{([a-z0-9]+):(\{[^}]*\}|[^{}]*)\}",
        lambda m: _made(m[1], m[2], f"{template}{next(seeds)}"),
        template,
    )
    before, mark, rest = text.partition("«")
    if not mark:
        return text, ""
    secret, _, after = rest.partition("»")
    return before + secret + after, secret


_KEY = "\n{b64:64}\n{b64:64}\n{b64:40}==\n"


def _armour(rule: str, label: str) -> tuple[str, str, str, str, str]:
    begin, end = f"{{pem:BEGIN {label}}}", f"{{pem:END {label}}}"
    return (
        rule,
        f"my key:\n«{begin}{_KEY}{end}»\nthanks",
        f'"key": "«{begin}\\n{{b64:64}}\\n{{b64:64}}\\n{end}»\\n"',
        f"A file that starts with {begin} holds a key, so never send one.",
        f"{{pem:BEGIN {label.replace('PRIVATE', 'PUBLIC')}}}{_KEY}",
    )


ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    # cloud
    (
        "aws-access-key",
        "id «AKIA{b32:16}».",
        "AWS_ACCESS_KEY_ID=«ASIA{b32:16}»",
        "AKIA{b32:15}",
        "AKIAIOSFODNN7EXAMPLE",
    ),
    (
        "aws-secret-key",
        "aws_secret_access_key = «{b64:40}»",
        'SecretAccessKey": "«{b64:40}»"',
        "aws commit {hex:40}",
        "the checksum is {b64:40}",
    ),
    (
        "aws-session-token",
        "aws_session_token = «{b64:120}»",
        'AWS_SESSION_TOKEN="«{b64:300}==»"',
        "aws_session_token = {b64:60}",
        "aws_session_token is {b64:120}",
    ),
    (
        "aws-bedrock-api-key",
        "«ABSKQmVkcm9ja0FQSUtleS{b64:100}»",
        "x «bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t{b64:60}»",
        "ABSKQmVkcm9ja0FQSUtleS{b64:20}",
        "bedrock-api-key-{b64:60}",
    ),
    ("gcp-api-key", "?key=«AIza{url:35}»", "AIza: «AIza{url:35}» end", "AIza{url:34}", "AIza{url:40}"),
    (
        "gcp-oauth-client-secret",
        "«GOCSPX-{url:28}»",
        "secret: «GOCSPX-{url:28}»,",
        "GOCSPX-{url:20}",
        "gocspx-{url:28}",
    ),
    ("gcp-access-token", "«ya29.{url:60}»", "token=«ya29.a0{url:120}»", "ya29.{url:12}", "aya29.{url:60}"),
    ("gcp-refresh-token", "«1//0{url:60}»", "refresh: «1//0g{url:90}»", "1//0{url:20}", "11//0{url:60}"),
    (
        "gcp-service-account-key",
        '"private_key": "«{pem:BEGIN PRIVATE KEY}\\n{b64:64}\\n{b64:64}\\n{pem:END PRIVATE KEY}»\\n"',
        '\\"private_key\\": \\"«{pem:BEGIN PRIVATE KEY}\\\\n{b64:64}\\\\n{pem:END PRIVATE KEY}»\\\\n\\"',
        '"private_key": "{pem:BEGIN PRIVATE KEY}\\n..."',
        '"public_key": "{pem:BEGIN PRIVATE KEY}\\n{b64:64}\\n"',
    ),
    (
        "azure-storage-key",
        "AccountName=a;AccountKey=«{b64:86}==»;",
        "SharedAccessKey=«{b64:43}=»",
        "AccountKey={b64:40}==",
        "key={b64:86}==",
    ),
    (
        "azure-sas-signature",
        "?sv=2024-11-04&sig=«{b64:43}=»",
        "x?sig=«{b64:43}%3D»&se=1",
        "&sig={b64:20}",
        "&design={b64:43}",
    ),
    (
        "azure-client-secret",
        "AZURE_CLIENT_SECRET=«{alnum:3}8Q~{alnum:34}»",
        "client secret «{alnum:3}7Q~{alnum:31}»",
        "azure {alnum:3}8Q-{alnum:34}",
        "{alnum:3}8Q~{alnum:34} alone",
    ),
    (
        "azure-api-key",
        "Ocp-Apim-Subscription-Key: «{hex:32}»",
        'AZURE_OPENAI_API_KEY="«{alnum:84}»"',
        "Ocp-Apim-Subscription-Key: {hex:20}",
        "AZURE_API_KEY {hex:32}",
    ),
    (
        "azure-devops-token",
        "azure devops pat «{lower:52}»",
        "https://dev.azure.com/ «{alnum:76}AZDO{alnum:4}»",
        "azure devops {lower:51}",
        "my pat {lower:52}",
    ),
    ("digitalocean-token", "«dop_v1_{hex:64}»", "refresh «dor_v1_{hex:64}».", "dop_v1_{hex:63}", "dop_v2_{hex:64}"),
    ("alibaba-access-key", "«LTAI{alnum:20}»", "id=«LTAI{alnum:16}»", "LTAI{alnum:10}", "LTAI{letters:4}"),
    (
        "alibaba-secret-key",
        "aliyun secret «{alnum:30}»",
        "ALIBABA_SECRET=«{alnum:30}»",
        "aliyun {alnum:29}",
        "secret {alnum:30}",
    ),
    (
        "cloudflare-api-token",
        "CLOUDFLARE_API_TOKEN=«{alnum:40}»",
        "cf_api_key: «{hex:37}»",
        "cloudflare {alnum:39}",
        "token {alnum:40}",
    ),
    (
        "cloudflare-origin-ca-key",
        "«v1.0-{hex:24}-{hex:146}»",
        "key «v1.0-{hex:24}-{hex:146}»;",
        "v1.0-{hex:24}-{hex:100}",
        "v1.1-{hex:24}-{hex:146}",
    ),
    ("heroku-api-key", "«HRKU-{url:58}»", "HEROKU_API_KEY=«HRKU-{uuid:4}»", "HRKU-{url:20}", "hrku-{url:58}"),
    (
        "heroku-api-key-uuid",
        "HEROKU_API_KEY=«{uuid:4}»",
        "heroku key «{uuid:4}»",
        "request id {uuid:4}",
        "heroku {hex:8}-{hex:4}",
    ),
    ("fly-token", "«fo1_{url:43}»", "FLY_API_TOKEN=FlyV1 «fm2_{b64:120}=»", "fo1_{url:30}", "fm3_{b64:120}"),
    (
        "vercel-blob-token",
        "«vercel_blob_rw_{alnum:40}»",
        "x=«vercel_blob_rw_{alnum:16}_{alnum:24}»",
        "vercel_blob_rw_{alnum:12}",
        "vercel_blob_ro_{alnum:40}",
    ),
    ("vercel-token", "VERCEL_TOKEN=«{alnum:24}»", "vercel token: «{alnum:24}»", "vercel {hex:24}", "token: {alnum:24}"),
    ("netlify-token", "«nfp_{alnum:40}»", "auth «nfp_{alnum:36}».", "nfp_{alnum:20}", "xnfp_{alnum:40}"),
    ("supabase-token", "«sbp_{hex:40}»", "«sb_secret_{url:31}»", "sbp_{hex:39}", "sb_publishable_{url:31}"),
    ("hetzner-token", "HCLOUD_TOKEN=«{alnum:64}»", "hetzner: «{alnum:64}»", "hetzner {hex:64}", "token {alnum:64}"),
    ("planetscale-token", "«pscale_tkn_{url:43}»", "«pscale_pw_{url:43}»", "pscale_tkn_{url:20}", "pscale_id_{url:43}"),
    ("databricks-token", "«dapi{hex:32}»", "token=«dapi{hex:32}»", "dapi{hex:31}", "rapidapi{hex:32}"),
    ("vault-token", "«hvs.{url:95}»", "X-Vault-Token: «hvb.{url:140}»", "hvs.{url:40}", "hvx.{url:95}"),
    ("doppler-token", "«dp.pt.{alnum:43}»", "«dp.st.dev.{alnum:43}»", "dp.pt.{alnum:20}", "dp.xx.{alnum:43}"),
    ("onepassword-token", "«ops_eyJ{b64:240}»", "OP=«ops_eyJ{url:400}»", "ops_eyJ{b64:60}", "ops_{b64:240}"),
    # code
    ("github-token", "«ghp_{crc:30}»", "https://«ghp_{crc:30}»@github.com", "ghp_{alnum:36}", "ghp_{crc:20}"),
    ("github-oauth-token", "«gho_{crc:30}»", "t: «gho_{crc:30}».", "gho_{alnum:36}", "gho_{crc:20}"),
    ("github-user-token", "«ghu_{crc:30}»", "t: «ghu_{crc:30}».", "ghu_{alnum:36}", "aghu_{crc:30}"),
    ("github-app-token", "«ghs_{crc:30}»", "t: «ghs_{crc:30}».", "ghs_{alnum:36}", "ghs_{crc:31}"),
    (
        "github-app-stateless-token",
        "«ghs_123456_eyJ{url:30}.eyJ{url:200}.{url:86}»",
        "t=«ghs_7_eyJ{url:120}»",
        "ghs_123456_{url:200}",
        "ghs_eyJ{url:200}",
    ),
    ("github-refresh-token", "«ghr_{alnum:76}»", "«ghr_{crc:30}»", "ghr_{alnum:36}", "ghr_{crc:20}"),
    (
        "github-fine-grained-token",
        "«github_pat_{alnum:22}_{alnum:59}»",
        "git clone x:«github_pat_{alnum:22}_{alnum:59}»@y",
        "github_pat_{alnum:22}_{alnum:58}",
        "github_pat_{alnum:81}",
    ),
    (
        "gitlab-token",
        "«glpat-{url:20}»",
        "PRIVATE-TOKEN: «glpat-{url:27}.01.{hex:9}»",
        "glpat-{url:12}",
        "glpat_{url:20}",
    ),
    ("gitlab-runner-token", "«glrt-{url:20}»", "r: «glrt-t1_{url:20}»", "glrt-{url:12}", "xglrt-{url:20}"),
    ("gitlab-trigger-token", "«glptt-{hex:40}»", "t=«glptt-{hex:40}»", "glptt-{hex:39}", "glptt-{upper:40}"),
    ("gitlab-deploy-token", "«gldt-{url:20}»", "d: «gldt-{url:24}»", "gldt-{url:12}", "xgldt-{url:20}"),
    ("gitlab-job-token", "«glcbt-{url:24}»", "JOB-TOKEN: «glcbt-1f_{url:20}»", "glcbt-{url:12}", "glcb-{url:24}"),
    (
        "bitbucket-app-password",
        "«ATBB{alnum:32}»",
        "u:«ATBB{alnum:32}»@bitbucket.org",
        "ATBB{alnum:31}",
        "atbb{alnum:32}",
    ),
    (
        "atlassian-api-token",
        "«ATATT3xFfGF0{url:170}=1A2B3C4D»",
        "«ATCTT3xFfGN0{url:170}»",
        "ATATT3xFfGF0{url:40}",
        "ATATT3{url:170}",
    ),
    ("npm-token", "«npm_{crc:30}»", "//npm.example/:_authToken=«npm_{crc:30}»", "npm_{alnum:36}", "npm_{crc:29}"),
    (
        "pypi-token",
        "«pypi-AgEIcHlwaS5vcmc{url:120}»",
        "«pypi-AgENdGVzdC5weXBpLm9yZw{url:120}»",
        "pypi-AgEIcHlwaS5vcmc{url:20}",
        "pypi-{url:120}",
    ),
    ("rubygems-token", "«rubygems_{hex:48}»", "k: «rubygems_{hex:48}»", "rubygems_{hex:47}", "rubygem_{hex:48}"),
    ("crates-token", "«cio{alnum:32}»", "token = «cio{alnum:32}»", "cio{alnum:31}", "precio{alnum:32}"),
    ("nuget-token", "«oy2{lower:43}»", "key «oy2{lower:43}».", "oy2{lower:42}", "boy2{lower:43}"),
    ("dockerhub-token", "«dckr_pat_{url:27}»", "«dckr_oat_{url:32}»", "dckr_pat_{url:20}", "dckr_bat_{url:27}"),
    (
        "circleci-token",
        "«CCIPAT_{alnum:22}_{hex:40}»",
        "«CCIPRJ_{alnum:22}_{hex:40}»",
        "CCIPAT_{alnum:22}_{hex:39}",
        "CCIXXX_{alnum:22}_{hex:40}",
    ),
    (
        "terraform-token",
        "TFE_TOKEN=«{alnum:14}.atlasv1.{url:67}»",
        "terraform login «{alnum:14}.atlasv1.{url:67}»",
        "terraform {alnum:14}.atlasv2.{url:67}",
        "terraform {alnum:14}.atlasv1.{url:30}",
    ),
    ("pulumi-token", "«pul-{hex:40}»", "t=«pul-{hex:40}»", "pul-{hex:39}", "xpul-{hex:40}"),
    ("buildkite-token", "«bkua_{hex:40}»", "t: «bkua_{hex:40}».", "bkua_{hex:39}", "bkub_{hex:40}"),
    ("sonar-token", "«sqp_{hex:40}»", "-Dsonar.token=«squ_{hex:40}»", "sqp_{hex:39}", "sqx_{hex:40}"),
    ("jfrog-token", "«AKCp{alnum:69}»", "«cmVmd{alnum:59}»", "AKCp{alnum:60}", "cmVmd{alnum:50}"),
    (
        "postman-api-key",
        "«PMAK-{hex:24}-{hex:34}»",
        "x-api-key: «PMAK-{hex:24}-{hex:34}»",
        "PMAK-{hex:24}-{hex:30}",
        "PMAK-{hex:58}",
    ),
    ("linear-api-key", "«lin_api_{alnum:40}»", "k=«lin_api_{alnum:40}»", "lin_api_{alnum:39}", "lin_oauth_{alnum:40}"),
    ("notion-token", "«ntn_{alnum:46}»", "t «ntn_{alnum:43}».", "ntn_{alnum:20}", "antn_{alnum:46}"),
    ("figma-token", "«figd_{url:40}»", "X-Figma-Token: «figd_{url:43}»", "figd_{url:20}", "figx_{url:40}"),
    # payment
    (
        "stripe-secret-key",
        "«sk_live_{alnum:24}»",
        "key=«sk_test_{alnum:99}»",
        "sk_live_{alnum:8}",
        "pk_live_{alnum:24}",
    ),
    (
        "stripe-restricted-key",
        "«rk_live_{alnum:24}»",
        "key=«rk_test_{alnum:99}»",
        "rk_live_{alnum:8}",
        "rk_life_{alnum:24}",
    ),
    ("stripe-webhook-secret", "«whsec_{alnum:32}»", "s: «whsec_{alnum:64}»", "whsec_{alnum:16}", "whsec-{alnum:32}"),
    ("square-access-token", "«EAAA{url:60}»", "«sq0atp-{url:22}»", "EAAA{url:40}", "sq0idp-{url:22}"),
    ("square-client-secret", "«sq0csp-{url:43}»", "s=«sq0csp-{url:43}»", "sq0csp-{url:30}", "sq0cs-{url:43}"),
    (
        "braintree-access-token",
        "«access_token$production${lower:16}${hex:32}»",
        "t: «access_token$sandbox${lower:16}${hex:32}»",
        "access_token$production${lower:16}${hex:30}",
        "access_token$staging${lower:16}${hex:32}",
    ),
    (
        "paypal-client-secret",
        "PAYPAL_SECRET=«E{url:79}»",
        "paypal secret «E{url:79}»",
        "paypal E{url:60}",
        "secret E{url:79}",
    ),
    (
        "razorpay-key",
        "«rzp_live_{alnum:14}»",
        "key «rzp_test_{alnum:14}».",
        "rzp_live_{alnum:12}",
        "rzp_dead_{alnum:14}",
    ),
    (
        "adyen-api-key",
        "ADYEN_API_KEY=«AQE{b64:90}-{alnum:40}»",
        "X-API-Key: «AQE{b64:120}»",
        "adyen AQE{b64:20}",
        "key AQE{b64:90}",
    ),
    (
        "flutterwave-secret-key",
        "«FLWSECK_TEST-{hex:32}-X»",
        "«FLWSECK-{hex:32}-X»",
        "FLWSECK-{hex:12}",
        "FLWPUBK-{hex:32}-X",
    ),
    (
        "plaid-access-token",
        "«access-production-{uuid:4}»",
        "t=«access-sandbox-{uuid:4}»",
        "access-production-{hex:20}",
        "access-point-{uuid:4}",
    ),
    ("shopify-token", "«shpat_{hex:32}»", "s: «shpss_{hex:32}»", "shpat_{hex:30}", "shpxx_{hex:32}"),
    # messaging
    (
        "slack-bot-token",
        "«xoxb-{digits:12}-{digits:13}-{alnum:24}»",
        "t=«xoxb-{digits:11}-{alnum:24}»",
        "xoxb-{digits:12}-abc",
        "xoxz-{digits:12}-{alnum:24}",
    ),
    (
        "slack-user-token",
        "«xoxp-{digits:12}-{digits:12}-{hex:32}»",
        "«xoxs-{digits:11}-{alnum:24}»",
        "xoxp-{alnum:6}",
        "xoxp-{digits:3}-{hex:32}",
    ),
    (
        "slack-app-token",
        "«xapp-1-A{upper:10}-{digits:13}-{hex:64}»",
        "t: «xapp-1-A{upper:9}-{digits:12}-{hex:64}»",
        "xapp-1-A{upper:10}-{digits:13}-{hex:60}",
        "xapp-2-A{upper:10}-{digits:13}-{hex:64}",
    ),
    (
        "slack-webhook",
        "https://hooks.slack.com/services/«T{upper:8}/B{upper:8}/{alnum:24}»",
        "https://hooks.slack.com/workflows/«T{upper:8}/A{upper:9}/{digits:18}/{alnum:24}»",
        "https://hooks.slack.com/services/T{upper:8}",
        "https://hooks.slack.com/services/{alnum:24}",
    ),
    (
        "discord-webhook",
        "https://discord.com/api/webhooks/«{digits:18}/{url:68}»",
        "discordapp.com/api/webhooks/«{digits:19}/{url:68}»",
        "https://discord.com/api/webhooks/{digits:18}",
        "https://discord.com/api/users/{digits:18}/{url:68}",
    ),
    (
        "discord-bot-token",
        "DISCORD_TOKEN=«{alnum:26}.{url:6}.{url:38}»",
        "discord bot «{alnum:24}.{alnum:6}.{alnum:27}»",
        "discord {alnum:26}.{url:6}.{url:10}",
        "token {alnum:26}.{url:6}.{url:38}",
    ),
    (
        "teams-webhook",
        "https://a.webhook.office.com/webhookb2/«{uuid:4}@{uuid:4}/IncomingWebhook/{hex:32}/{uuid:4}»",
        "x.webhook.office.com/webhookb2/«{uuid:4}@{uuid:4}/IncomingWebhook/{hex:32}/{uuid:4}» y",
        "https://a.webhook.office.com/webhookb2/{uuid:4}",
        "https://a.webhook.office.com/webhookb2/{uuid:4}@{uuid:4}/Incoming/{hex:32}/{uuid:4}",
    ),
    (
        "telegram-bot-token",
        "TELEGRAM_TOKEN=«{digits:10}:AA{url:33}»",
        "bot token: «{digits:9}:AA{url:33}»",
        "telegram {digits:10}:AB{url:33}",
        "telegram {digits:10}:AA{url:20}",
    ),
    (
        "telegram-bot-url",
        "https://api.telegram.org/bot«{digits:10}:AA{url:33}»/getMe",
        "api.telegram.org/bot«{digits:9}:AA{url:33}»",
        "https://api.telegram.org/bot{digits:10}/getMe",
        "https://api.telegram.org/file{digits:10}:AA{url:33}",
    ),
    ("twilio-api-key", "twilio key «SK{hex:32}»", "TWILIO_API_KEY=«SK{hex:32}»", "twilio SK{hex:31}", "key SK{hex:32}"),
    (
        "twilio-auth-token",
        "TWILIO_AUTH_TOKEN=«{hex:32}»",
        "twilio token «{hex:32}»",
        "twilio {hex:31}",
        "token {hex:32}",
    ),
    (
        "sendgrid-api-key",
        "«SG.{url:22}.{url:43}»",
        "k: «SG.{url:22}.{url:43}».",
        "SG.{url:22}.{url:40}",
        "SG.{url:21}.{url:43}",
    ),
    ("mailgun-api-key", "«key-{hex:32}»", "api:«key-{hex:32}»", "key-{hex:31}", "monkey-{hex:32}"),
    (
        "mailgun-private-key",
        "MAILGUN_KEY=«{hex:32}-{hex:8}-{hex:8}»",
        "mailgun «{hex:32}-{hex:8}-{hex:8}»",
        "mailgun {hex:32}-{hex:8}",
        "key {hex:32}-{hex:8}-{hex:8}",
    ),
    (
        "mailchimp-api-key",
        "mailchimp «{hex:32}-us14»",
        "MAILCHIMP_KEY=«{hex:32}-us6»",
        "mailchimp {hex:32}-eu14",
        "key {hex:32}-us14",
    ),
    (
        "brevo-api-key",
        "«xkeysib-{hex:64}-{alnum:16}»",
        "k=«xkeysib-{hex:64}-{alnum:16}»",
        "xkeysib-{hex:64}",
        "xsmtpsib-{hex:64}-{alnum:16}",
    ),
    (
        "resend-api-key",
        "«re_{alnum:8}_{alnum:24}»",
        "k=«re_{alnum:8}_{alnum:24}»",
        "re_{alnum:8}_{alnum:20}",
        "pre_{alnum:8}_{alnum:24}",
    ),
    # language models
    (
        "openai-key",
        "«sk-{alnum:20}T3BlbkFJ{alnum:20}»",
        "OPENAI_API_KEY=«sk-{alnum:48}»",
        "sk-{alnum:20}T3Blbk{alnum:20}",
        "task-{alnum:48}",
    ),
    (
        "openai-project-key",
        "«sk-proj-{url:74}T3BlbkFJ{url:74}»",
        "k: «sk-svcacct-{url:120}»",
        "sk-proj-your-key-here-{url:40}",
        "sk-proj-{url:20}",
    ),
    (
        "anthropic-key",
        "«sk-ant-api03-{url:93}AA»",
        "x-api-key: «sk-ant-oat01-{url:93}AA»",
        "sk-ant-{url:20}",
        "sk-ant-" + "x" * 40,
    ),
    ("openrouter-key", "«sk-or-v1-{hex:64}»", "k=«sk-or-v1-{hex:64}»", "sk-or-v1-{hex:60}", "sk-or-v2-{hex:64}"),
    ("deepseek-key", "«sk-{hex:32}»", "DEEPSEEK_API_KEY=«sk-{hex:32}»", "sk-{hex:31}", "risk-{hex:32}"),
    ("langfuse-secret-key", "«sk-lf-{uuid:4}»", "s: «sk-lf-{uuid:4}».", "sk-lf-{hex:20}", "pk-lf-{uuid:4}"),
    ("groq-key", "«gsk_{alnum:52}»", "GROQ_API_KEY=«gsk_{alnum:52}»", "gsk_{alnum:40}", "agsk_{alnum:52}"),
    (
        "huggingface-token",
        "«hf_{letters:34}»",
        "HF_TOKEN=«api_org_{letters:34}»",
        "hf_{letters:30}",
        "shf_{letters:34}",
    ),
    ("replicate-token", "«r8_{alnum:37}»", "t=«r8_{alnum:37}»", "r8_{alnum:36}", "or8_{alnum:37}"),
    ("perplexity-key", "«pplx-{alnum:48}»", "k: «pplx-{hex:48}»", "pplx-{alnum:40}", "applx-{alnum:48}"),
    ("xai-key", "«xai-{alnum:80}»", "XAI_API_KEY=«xai-{alnum:80}»", "xai-{alnum:40}", "pixai-{alnum:80}"),
    ("cerebras-key", "«csk-{lower:48}»", "k=«csk-{lower:48}»", "csk-{lower:40}", "csk-{upper:48}"),
    ("fireworks-key", "«fw_{alnum:24}»", "k=«fw_{alnum:22}»", "fw_{alnum:20}", "nfw_{alnum:24}"),
    ("together-key", "«tgp_v1_{url:43}»", "k=«tgp_v1_{url:43}»", "tgp_v1_{url:40}", "tgp_v2_{url:43}"),
    ("nvidia-key", "«nvapi-{url:64}»", "k=«nvapi-{url:64}»", "nvapi-{url:60}", "envapi-{url:64}"),
    (
        "langsmith-key",
        "«lsv2_pt_{hex:32}_{hex:10}»",
        "k=«lsv2_sk_{hex:32}_{hex:10}»",
        "lsv2_pt_{hex:32}",
        "lsv2_xx_{hex:32}_{hex:10}",
    ),
    ("pinecone-key", "«pcsk_{alnum:6}_{alnum:63}»", "k=«pcsk_{alnum:70}»", "pcsk_{alnum:40}", "apcsk_{alnum:70}"),
    ("elevenlabs-key", "«sk_{hex:48}»", "k=«sk_{hex:48}»", "sk_{hex:47}", "task_{hex:48}"),
    ("tavily-key", "«tvly-{alnum:32}»", "k=«tvly-dev-{alnum:32}»", "tvly-{alnum:20}", "xtvly-{alnum:32}"),
    ("cohere-key", "COHERE_API_KEY=«{alnum:40}»", "cohere: «{alnum:40}»", "cohere {hex:40}", "key: {alnum:40}"),
    ("mistral-key", "MISTRAL_API_KEY=«{alnum:32}»", "mistral key «{alnum:32}»", "mistral {hex:32}", "key {alnum:32}"),
    ("wandb-key", "WANDB_API_KEY=«{hex:40}»", "wandb login «{hex:40}»", "commit {hex:40}", "wandb {hex:39}"),
    # observability
    ("datadog-api-key", "DD_API_KEY=«{hex:32}»", "Datadog key: «{hex:32}»", "datadog {hex:31}", "md5 {hex:32}"),
    (
        "datadog-app-key",
        "DD_APP_KEY=«{hex:40}»",
        "datadog application key «{hex:40}»",
        "datadog {hex:39}",
        "sha1 {hex:40}",
    ),
    ("newrelic-key", "«NRAK-{upper:27}»", "k=«NRAK-{upper:27}»", "NRAK-{upper:26}", "NRAK-{hex:27}"),
    ("newrelic-insert-key", "«NRII-{url:32}»", "k=«NRII-{alnum:32}»", "NRII-{url:30}", "NRXX-{url:32}"),
    (
        "newrelic-license-key",
        "NEW_RELIC_LICENSE_KEY=«{hex:36}NRAL»",
        "newrelic «{hex:36}NRAL»",
        "newrelic {hex:36}",
        "key {hex:36}NRAL",
    ),
    (
        "sentry-org-token",
        "«sntrys_{alnum:120}_{b64:43}»",
        "t=«sntrys_{alnum:160}»",
        "sntrys_{alnum:40}",
        "sntryx_{alnum:120}",
    ),
    ("sentry-user-token", "«sntryu_{hex:64}»", "t=«sntryu_{hex:64}»", "sntryu_{hex:60}", "asntryu_{hex:64}"),
    (
        "grafana-service-account-token",
        "«glsa_{alnum:32}_{hex:8}»",
        "t=«glsa_{alnum:32}_{hex:8}»",
        "glsa_{alnum:32}_{hex:6}",
        "glsa_{alnum:41}",
    ),
    ("grafana-cloud-token", "«glc_{alnum:120}==»", "t=«glc_{alnum:80}»", "glc_{alnum:20}", "aglc_{alnum:80}"),
    ("honeycomb-key", "«hcaik_{lower:58}»", "k=«hcamk_{alnum:32}»", "hcaik_{lower:40}", "hcxxk_{lower:58}"),
    (
        "honeycomb-team-key",
        "x-honeycomb-team: «{alnum:22}»",
        "HONEYCOMB_API_KEY=«{hex:32}»",
        "honeycomb {alnum:21}",
        "team {alnum:22}",
    ),
    (
        "dynatrace-token",
        "«dt0c01.{b32:24}.{b32:64}»",
        "t=«dt0c01.{b32:24}.{b32:64}»",
        "dt0c01.{b32:24}.{b32:60}",
        "dt0c02.{b32:24}.{b32:64}",
    ),
    ("posthog-personal-key", "«phx_{alnum:43}»", "k=«phx_{alnum:47}»", "phx_{alnum:30}", "phc_{alnum:43}"),
    ("launchdarkly-key", "«sdk-{uuid:4}»", "k=«api-{uuid:4}»", "sdk-{hex:30}", "mob-{uuid:4}"),
    (
        "pagerduty-key",
        "PAGERDUTY_TOKEN=«{alnum:20}»",
        "pagerduty key «{alnum:20}»",
        "pagerduty {alnum:19}",
        "key {alnum:20}",
    ),
    # of no service
    _armour("private-key", "PRIVATE KEY"),
    _armour("rsa-private-key", "RSA PRIVATE KEY"),
    _armour("ec-private-key", "EC PRIVATE KEY"),
    _armour("dsa-private-key", "DSA PRIVATE KEY"),
    _armour("openssh-private-key", "OPENSSH PRIVATE KEY"),
    _armour("pgp-private-key", "PGP PRIVATE KEY BLOCK"),
    (
        "age-secret-key",
        "«AGE-SECRET-KEY-1{upper:58}»",
        "k: «AGE-SECRET-KEY-1{upper:58}»",
        "AGE-SECRET-KEY-1{upper:50}",
        "AGE-SECRET-KEY-2{upper:58}",
    ),
    (
        "putty-private-key",
        "Private-Lines: 2\n«{b64:64}\n{b64:40}==\nPrivate»-MAC: 1",
        "Private-Lines: 14\n«{b64:64}»",
        "Private-Lines: 14\n",
        "Public-Lines: 2\n{b64:64}",
    ),
    (
        "jwt",
        "«{jose:{'alg':'HS256','typ':'JWT'}}.{url:60}.{url:43}»",
        "token «{jose:{'alg':'none'}}.{url:60}.»",
        "eyJ{url:30}.{url:60}.{url:43}",
        "{jose:{'typ':'JWT','x':'y'}}.{url:60}.{url:43}",
    ),
    (
        "jwe",
        "«{jose:{'alg':'dir','enc':'A256GCM'}}..{url:16}.{url:80}.{url:22}»",
        "t «{jose:{'alg':'RSA-OAEP'}}.{url:86}.{url:16}.{url:80}.{url:22}»",
        "{jose:{'alg':'dir'}}.{url:60}.{url:43}",
        "{jose:{'enc':'A256GCM'}}..{url:16}.{url:80}.{url:22}",
    ),
    (
        "postgres-url",
        "postgres://app:«{alnum:12}»@db/prod",
        "postgresql+asyncpg://app:«{alnum:9}»@10.0.0.1:5432/x",
        "postgres://localhost:5432/db",
        "postgres://app:${DB_PASSWORD}@db/prod",
    ),
    (
        "mysql-url",
        "mysql://root:«{alnum:12}»@db/prod",
        "mariadb+pymysql://app:«{alnum:9}»@h",
        "mysql://root@db/prod",
        "mysql://root:<password>@db",
    ),
    (
        "mongodb-url",
        "mongodb+srv://app:«{alnum:12}»@c0.example.net",
        "mongodb://a:«{alnum:9}»@h:27017/?x=1",
        "mongodb://localhost:27017",
        "mongodb://user:password@h",
    ),
    (
        "redis-url",
        "redis://:«{alnum:12}»@cache:6379/0",
        "rediss://u:«{alnum:9}»@cache",
        "redis://cache:6379/0",
        "redis://:****@cache",
    ),
    (
        "amqp-url",
        "amqp://u:«{alnum:12}»@mq",
        "amqps://u:«{alnum:9}»@mq/vhost",
        "amqp://guest:guest@mq",
        "amqp://mq:5672",
    ),
    ("ftp-url", "ftp://u:«{alnum:12}»@files", "sftp://u:«{alnum:9}»@files:22/a", "ftp://files:21/a", "ftp://u@files"),
    (
        "database-url",
        "mssql+pyodbc://sa:«{alnum:12}»@h",
        "ldaps://cn:«{alnum:9}»@h",
        "smtp://h:587",
        "clickhouse://default:default@h",
    ),
    (
        "basic-auth-url",
        "https://u:«{alnum:12}»@example.com/",
        "git+http://u:«{alnum:9}»@git",
        "https://example.com:8443/a@b",
        "http://user:pass@example.com",
    ),
    (
        "bearer-token",
        "Authorization: Bearer «{alnum:32}»",
        "curl -H 'authorization: bearer «{url:43}»'",
        "Bearer {alnum:12}",
        "bearer authentication-mechanisms",
    ),
    (
        "basic-auth-header",
        "Authorization: Basic «{basic:alice:tr0ub4dor}»",
        "basic «{basic:a:b3d5g7}»",
        "basic training",
        "Basic {basic:no-colon-here}",
    ),
    (
        "password-assignment",
        'password = "«{alnum:12}»"',
        "{'db_passwd': '«{alnum:10}!»'}",
        'password = "hunter2"',
        'password = "<your password>"',
    ),
    (
        "password-setting",
        "DB_PASSWORD=«{alnum:14}»\n",
        "password: «{alnum:12}»",
        "password: correcthorsebattery",
        "password=os.environ.get",
    ),
    (
        "secret-assignment",
        'api_key="«{alnum:24}»"',
        '{"clientSecret": "«{url:30}»"}',
        'api_key="your-api-key-1234"',
        'token = "aaaaaaaa1111"',
    ),
    (
        "secret-setting",
        "API_KEY=«{alnum:24}»",
        "secret_key: «{alnum:20}»",
        "secret: my-config-name-2",
        "token=https://example.com/a1b2c3",
    ),
)
"""Rule, two that are found, two that are not."""

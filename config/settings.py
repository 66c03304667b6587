"""The only settings. Everything that differs between installations comes through `config.env`.

Without any variable set this is the embedded mode: SQLite, the local disk and Celery on ``memory://``
below ``PLETHORA_HOME``, with secrets made on the first start.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config import env
from config.secrets import audit_keys, secret_key

ROOT = Path(__file__).resolve().parent.parent
HOME = env.path("PLETHORA_HOME", ROOT / "var")

DEBUG = env.flag("PLETHORA_DEBUG")
SECRET_KEY = secret_key(HOME)
SECRET_KEY_FALLBACKS = env.words("PLETHORA_SECRET_KEY_FALLBACKS")
AUDIT_KEYS = audit_keys(HOME)
ALLOWED_HOSTS = env.words("PLETHORA_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1],testserver")
CSRF_TRUSTED_ORIGINS = env.words("PLETHORA_TRUSTED_ORIGINS")
HTTPS = env.flag("PLETHORA_HTTPS")
# How many proxies of ours a request passes: that many of `X-Forwarded-For`'s last words are true.
PROXIES = env.integer("PLETHORA_PROXIES", int(HTTPS))
FAILURES_PER_MINUTE = env.integer("PLETHORA_FAILURES_PER_MINUTE", 60)
TOKENS_PER_HOUR = env.integer("PLETHORA_TOKENS_PER_HOUR", 300)

PORT = env.integer("PLETHORA_PORT", 8000)
SERVING_PORT = env.integer("PLETHORA_SERVING_PORT", 8001)
# Where the web process itself finds the chat API: the playground asks there.
GATEWAY_URL = env.text("PLETHORA_GATEWAY_URL").rstrip("/") or f"http://127.0.0.1:{SERVING_PORT}"
WEB_WORKERS = max(1, env.integer("PLETHORA_WEB_WORKERS", min(2, os.cpu_count() or 1)))
STORE = env.text("PLETHORA_STORE") or (HOME / "store").as_uri()
S3_ENDPOINT = env.text("PLETHORA_S3_ENDPOINT")
_ROOTS = env.words("PLETHORA_BASE_ROOTS", str(HOME / "bases"))
BASE_ROOTS = [Path(root).expanduser().resolve() for root in _ROOTS if "://" not in root]
REMOTE_BASE_ROOTS = [root for root in _ROOTS if root.startswith(("s3://", "hf://"))]
HF_ENDPOINT = env.text("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
DEVICES = env.words("PLETHORA_DEVICES")
# What a training child gets of our environment: never a password, a token or the address of a database.
CHILD_ENVIRONMENT = env.some(
    "PATH HOME LANG LC_ALL TMPDIR LD_LIBRARY_PATH VIRTUAL_ENV OMP_NUM_THREADS MKL_NUM_THREADS CUDA_HOME"
    " CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES"
)
# Two attempts share a small machine; a child that takes all its cores slows both down.
CHILD_THREADS = env.integer("PLETHORA_CHILD_THREADS", max(1, (os.cpu_count() or 1) // 2))
LEASE_SECONDS = env.number("PLETHORA_LEASE_SECONDS", 60)
MAX_UPLOAD_BYTES = env.integer("PLETHORA_MAX_UPLOAD_BYTES", 2 * 1024**3)
MAX_LARGE_UPLOAD_BYTES = env.integer("PLETHORA_MAX_LARGE_UPLOAD_BYTES", 1024**4)
RECEIPT_DAYS = env.number("PLETHORA_RECEIPT_DAYS", 400)
AUDIT_DAYS = env.number("PLETHORA_AUDIT_DAYS", 0)
WEBHOOK_DAYS = env.number("PLETHORA_WEBHOOK_DAYS", 30)
WEBHOOK_PATIENCE_HOURS = env.number("PLETHORA_WEBHOOK_PATIENCE_HOURS", 72)
UPLOAD_DAYS = env.number("PLETHORA_UPLOAD_DAYS", 7)
DEVICE_HOUR_PRICE = env.number("PLETHORA_DEVICE_HOUR_PRICE", 2.0)
CURRENCY = env.text("PLETHORA_CURRENCY", "USD")
SWEEP_GRACE_SECONDS = env.number("PLETHORA_SWEEP_GRACE_SECONDS", 86_400)
SWEEP_HOURS = env.number("PLETHORA_SWEEP_HOURS", 24)
SCRUB_HOURS = env.number("PLETHORA_SCRUB_HOURS", 24)
SCRUB_BYTES = env.integer("PLETHORA_SCRUB_BYTES", 100 * 1024**3)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "lucide",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "registry",
    "config",
]

MIDDLEWARE = [
    "registry.api.requests.RequestIdMiddleware",  # outermost: redirects and refusals have an id too
    "config.middleware.TurnsMiddleware",
    "config.middleware.HeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.BodyLimitMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "registry.dashboard.navigation.rooms",
            ],
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": env.database("DATABASE_URL", f"sqlite:///{HOME / 'plethora.sqlite3'}")
}
DATABASES["default"].update(ATOMIC_REQUESTS=False, CONN_MAX_AGE=600, CONN_HEALTH_CHECKS=True)
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = False  # a file does not hang up; it would be one query each time
    # WAL and IMMEDIATE: without them concurrent writers fail with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-64000;"
        " PRAGMA mmap_size=134217728; PRAGMA busy_timeout=30000;",
    }
elif env.flag("PLETHORA_PREPARED_STATEMENTS", default=True):
    # A request's queries are wide and repeat: their planning costs several times their running, so plan them once.
    planned_once = {"server_side_binding": True, "prepare_threshold": 3}
    DATABASES["default"]["OPTIONS"] = {**DATABASES["default"].get("OPTIONS", {}), **planned_once}

# Counts failed sign-ins and knows which codes are used up: for all web workers of all machines together, and
# whoever comes first is first. Nothing else is kept there.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "plethora_cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},  # beyond that it drops what is over, then a third of what still holds
    }
}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "registry.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "registry.dashboard.accounts.AccountAdapter"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/300s/key", "login": "30/m/ip", "reauthenticate": "10/m/user"}
MFA_ADAPTER = "registry.dashboard.second_factors.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "registry.dashboard.second_factors.AuthenticateForm",
    "reauthenticate": "registry.dashboard.second_factors.ReauthenticateForm",
    "activate_totp": "registry.dashboard.second_factors.ActivateForm",
}
MFA_TOTP_ISSUER = "Plethora"
MFA_TOTP_TOLERANCE = 1  # clocks of telephones
MFA_ALLOW_UNVERIFIED_EMAIL = True  # administrators make accounts: nobody is asked to prove an address
SOCIALACCOUNT_ADAPTER = "registry.dashboard.accounts.SocialAccountAdapter"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = "oidc"
OIDC_ISSUER = env.text("PLETHORA_OIDC_ISSUER").rstrip("/")
OIDC_ORIGIN = ["://".join(urlsplit(OIDC_ISSUER)[:2])] if OIDC_ISSUER else []
OIDC_SIGNUP_DOMAINS = env.words("PLETHORA_OIDC_SIGNUP_DOMAINS")
OIDC_APPS = [
    {
        "provider_id": "sso",
        "name": env.text("PLETHORA_OIDC_NAME", "single sign-on"),
        "client_id": env.text("PLETHORA_OIDC_CLIENT_ID"),
        "secret": env.text("PLETHORA_OIDC_CLIENT_SECRET"),
        "settings": {"server_url": OIDC_ISSUER, "oauth_pkce_enabled": True},
    }
]
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": OIDC_APPS if OIDC_ISSUER else []}}
# Issuers, and whatever else people let the server call, must be public and https, but for these hosts.
OUTBOUND_ALLOWED = env.words("PLETHORA_OUTBOUND_ALLOWED")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
STATIC_ROOT = HOME / "static"
WHITENOISE_USE_FINDERS = True

SESSION_ENGINE = "registry.models.sessions"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # scripts have the CSRF token from the page itself
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        # A browser holds the redirect of a form to this too, and signing in by OIDC begins with one.
        "form-action": ["'self'", *OIDC_ORIGIN],
        "object-src": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024**2
FILE_UPLOAD_TEMP_DIR = None

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["registry.api.auth.BearerToken", "registry.api.auth.Session"],
    "DEFAULT_PERMISSION_CLASSES": ["registry.api.auth.SignedIn"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["registry.api.bodies.Json"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "registry.api.negotiation.Lenient",
    "EXCEPTION_HANDLER": "registry.api.errors.render",
    "DEFAULT_SCHEMA_CLASS": "registry.api.schema.Schema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Plethora",
    "DESCRIPTION": "Registry and management of LoRA adapters.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {  # several objects have a `state` of the same kind
        "JobStateEnum": "registry.choices.JobState",
        "PromotionStateEnum": "registry.choices.PromotionState",
        "CampaignStateEnum": "registry.choices.CampaignState",
        "DeliveryStateEnum": "registry.choices.DeliveryState",
    },
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "registry.api.schema.complete"],
}

CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", "memory://")
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 2,
    "socket_connect_timeout": 2,
    "visibility_timeout": 3600,
    # Only memory:// polls its queue, and a second (the default) is long for what lies in the same process.
    **({"polling_interval": 0.1} if CELERY_BROKER_URL.startswith("memory://") else {}),
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

DEFAULT_EXCEPTION_REPORTER_FILTER = "config.reports.Discreet"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("PLETHORA_LOG_LEVEL", "INFO")},
    # httpx: a line for each request, several a second. The others write signed addresses, or headers with keys.
    "loggers": {name: {"level": "WARNING"} for name in ("httpx", "httpcore", "boto3", "botocore", "urllib3")},
}

"""How an installation gets its people, and how they come in."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import get_random_string

from registry import credentials
from registry.access import SYSTEM, Caller, require_administrator
from registry.choices import Scope
from registry.errors import Conflict, Forbidden
from registry.models import Session, Team, User
from registry.selectors import accounts as selectors
from registry.selectors import credentials as known
from registry.services import audit, teams, tokens

SECRETS = ("secret", "seed")  # of an authenticator app, and of the recovery codes
PASSWORD_LENGTH = 24  # letters and digits: none begins like an option of a command
SEALED = "gAAAA"  # how Fernet begins; neither Base32 nor hexadecimal has a small g


@dataclass(frozen=True)
class Bootstrapped:
    """Password and token are shown once and kept nowhere."""

    user: User
    team: Team
    password: str = field(repr=False)
    token: str = field(repr=False)


def bootstrap(*, email: str, team: str, name: str) -> Bootstrapped:
    """The first administrator, who owns the first team and a token of it with all scopes.

    Raises Conflict on an installation that has an administrator already.
    """
    with transaction.atomic():
        known = User.objects.filter(is_staff=True).order_by("pk").first()
        if known is not None:
            raise Conflict(
                f"This installation exists already: {known.email} is its administrator. Nothing was changed; the "
                "password and the token were shown once. Set another password with `manage.py changepassword "
                f"{known.email}`; sign in to mint another token.",
                code="exists",
            )
        password = get_random_string(PASSWORD_LENGTH)
        user = User.objects.create_superuser(email, password)
        audit.record(SYSTEM, "user.create", f"user:{user.email}", after={"administrator": True})
        row = teams.create(by=Caller(user=user), slug=team, name=name)
        _, text = tokens.mint(
            by=Caller(user=user), team=row, name="bootstrap", scopes=Scope.values, expires_at=None
        )
    return Bootstrapped(user, row, password, text)


def link(*, by: Caller, email: str, provider: str, uid: str) -> SocialAccount:
    """Who signs in at the OIDC provider is the person with that e-mail, which the provider must have verified.

    A stranger is refused, unless `OIDC_SIGNUP_DOMAINS` lets everybody of its mail domain in: without a team, until
    an owner adds it to one.
    """
    if not email:
        raise Forbidden("The provider didn't say that it verified your e-mail.", code="unverified_email")
    if by.user is not None and by.user.email != email.lower():
        raise Forbidden(f"{email} is not your address here; sign out first.", code="other_email")
    with transaction.atomic():
        user = User.objects.filter(email=email.lower()).first() or _joined(email.lower())
        account = SocialAccount.objects.create(user=user, provider=provider, uid=uid)
        by = Caller(user=user)
        audit.record(by, "user.link", f"user:{user.email}", after={"provider": provider, "subject": uid})
    return account


def _joined(email: str) -> User:
    if email.rpartition("@")[2] not in (domain.lower() for domain in settings.OIDC_SIGNUP_DOMAINS):
        raise Forbidden(f"{email} has no account here; ask an owner of your team.", code="no_account")
    user = User.objects.create_user(email)
    audit.record(SYSTEM, "user.create", f"user:{user.email}", after={"administrator": False})
    return user


def create(*, by: Caller, email: str, administrator: bool = False) -> tuple[User, str]:
    """An account in no team yet, and a password for it, which is never shown again."""
    require_administrator(by)
    password = get_random_string(PASSWORD_LENGTH)
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, is_staff=administrator, is_superuser=administrator)
            audit.record(by, "user.create", f"user:{user.email}", after={"administrator": administrator})
    except IntegrityError as error:
        raise Conflict(f"{email.lower()} has an account already.", param="user", code="exists") from error
    return user, password


def noted(*, by: Caller, change: str) -> None:
    """What somebody changed of the own account (`totp_activated`, `password_changed`), which allauth has done."""
    if by.user is not None:
        with transaction.atomic():
            audit.record(by, f"user.{change}", f"user:{by.user.email}")


def sign_out(*, by: Caller, user: User) -> int:
    """End every session of a person: one's own, or by an administrator. Returns how many; holds at once."""
    if by.user != user:
        require_administrator(by)
    with transaction.atomic():
        # By whose they are: not all are in the list of sessions, such as those that are older than it.
        ended, _ = Session.objects.filter(user_id=user.pk, expire_date__gt=timezone.now()).delete()
        UserSession.objects.filter(user=user).delete()
        audit.record(by, "user.sign_out", f"user:{user.email}", after={"sessions": ended})
    return ended


def forget_sessions() -> int:
    """Delete those that are over; returns how many."""
    return Session.objects.filter(expire_date__lte=timezone.now()).delete()[0]


def set_active(*, by: Caller, email: str, active: bool) -> User:
    """Close an account or open it again; a closed one's sessions and tokens are refused at once."""
    with transaction.atomic():
        user = selectors.one(by, email)
        if not active:
            _keep_an_administrator(by, user)
        if User.objects.filter(pk=user.pk, is_active=not active).update(is_active=active):
            word = "user.reopen" if active else "user.close"
            audit.record(by, word, f"user:{user.email}", before={"active": not active}, after={"active": active})
            user.refresh_from_db()
        if not active:
            sign_out(by=by, user=user)
    known.forget()
    return user


def _keep_an_administrator(by: Caller, closing: User) -> None:
    """Two who close each other at once take turns here, and the second finds itself the last."""
    if by.person == closing:
        raise Conflict("You can't close your own account; another administrator can.", code="own_account")
    living = User.objects.filter(is_staff=True, is_active=True).order_by("pk")
    if {row.pk for row in living.select_for_update(no_key=True).only("pk")} == {closing.pk}:
        text = f"{closing.email} is the only administrator whose account is open; make another one first."
        raise Conflict(text, param="user", code="last_administrator")


def seal(secret: str) -> str:
    """A second factor's secret as the database keeps it."""
    return credentials.seal(secret, credentials.sealing_keys())


def unseal(text: str) -> str:
    """The secret of a second factor; where the key that sealed it is gone, one that nobody has."""
    secret = _opened(text)
    return base64.b32encode(os.urandom(20)).decode() if secret is None else secret


def reseal() -> int:
    """After the installation's key was rotated: second factors under the new one, before the old one goes."""
    count, newest = 0, credentials.sealing_keys()[:1]
    for row in Authenticator.objects.all():
        old = {name: row.data[name] for name in SECRETS if name in row.data}
        stale = {name: text for name, text in old.items() if credentials.unseal(text, newest) is None}
        fresh = {name: seal(secret) for name, text in stale.items() if (secret := _opened(text)) is not None}
        # Only what it was made of: a recovery code may have been used up since.
        rows = Authenticator.objects.filter(pk=row.pk, data=row.data)
        count += rows.update(data={**row.data, **fresh}) if fresh else 0
    return count


def _opened(text: str) -> str | None:
    """What was kept before there were seals stands there as it is."""
    return credentials.unseal(text, credentials.sealing_keys()) if text.startswith(SEALED) else text

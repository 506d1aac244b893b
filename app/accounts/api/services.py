"""The services that the controllers of this room take, made for one request.

Plain functions: a second generator dependency in a request would lose the errors of the commit.
"""

from __future__ import annotations

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide

from app.accounts.api_keys import ApiKeyService
from app.accounts.audit import AuditService
from app.accounts.external_users import ExternalUserService
from app.accounts.holds import HoldService
from app.accounts.login import Login
from app.accounts.new_users import NewUserService
from app.accounts.own_account import OwnAccount
from app.accounts.tenants import TenantService
from app.accounts.token_service import TokenService
from app.accounts.users import UserService
from app.databases.sessions import UserSession


def _audit(user_session: NamedDependency[UserSession]) -> AuditService:
    return AuditService(user_session)


def _api_keys(user_session: NamedDependency[UserSession]) -> ApiKeyService:
    return ApiKeyService(user_session)


def _external_users(user_session: NamedDependency[UserSession]) -> ExternalUserService:
    return ExternalUserService(user_session)


def _holds(user_session: NamedDependency[UserSession]) -> HoldService:
    return HoldService(user_session)


def _login(state: State) -> Login:
    return Login(state.databases, state.passwords, state.digester, state.settings)


def _new_users(user_session: NamedDependency[UserSession]) -> NewUserService:
    return NewUserService(user_session)


def _own_account(state: State) -> OwnAccount:
    return OwnAccount(state.databases, state.passwords, _login(state))


def _tenants(user_session: NamedDependency[UserSession]) -> TenantService:
    return TenantService(user_session)


def _tokens(user_session: NamedDependency[UserSession]) -> TokenService:
    return TokenService(user_session)


def _users(user_session: NamedDependency[UserSession]) -> UserService:
    return UserService(user_session)


audit = Provide(_audit, sync_to_thread=False)
api_keys = Provide(_api_keys, sync_to_thread=False)
external_users = Provide(_external_users, sync_to_thread=False)
holds = Provide(_holds, sync_to_thread=False)
login = Provide(_login, sync_to_thread=False)
new_users = Provide(_new_users, sync_to_thread=False)
own_account = Provide(_own_account, sync_to_thread=False)
tenants = Provide(_tenants, sync_to_thread=False)
tokens = Provide(_tokens, sync_to_thread=False)
users = Provide(_users, sync_to_thread=False)

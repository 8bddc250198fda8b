"""An OpenID Connect provider for people, on this machine: authlib's authorization server over real HTTP.

It has the authorization code flow with PKCE, and the device flow. Whoever comes to `/authorize` is logged in already, as `user`.
`forge` makes identity tokens that are wrong in one way.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE, DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask, Response, jsonify, request
from joserfc.jwk import ECKey
from werkzeug.serving import BaseWSGIServer, make_server

from stannary.testing.identity_provider import ProviderKey

__all__ = ["OidcProvider"]

_REDIRECTS = ("http://127.0.0.1:1/back",)
Forge = Callable[[dict[str, Any], ProviderKey], str]


class _Client(ClientMixin):  # type: ignore[misc] # authlib has no types
    def __init__(self, provider: OidcProvider) -> None:
        self.provider = provider

    def get_client_id(self) -> str:
        return self.provider.client

    def get_default_redirect_uri(self) -> str:
        return self.provider.redirects[0]

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.provider.redirects

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.provider.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        del endpoint
        return (method == "none") == (not self.provider.secret)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", DEVICE_CODE_GRANT_TYPE)


class _Code(AuthorizationCodeMixin):  # type: ignore[misc] # authlib has no types
    def __init__(self, code: str, asked: Any, user: str) -> None:  # noqa: ANN401 - authlib's request
        self.code, self.user = code, user
        self.redirect_uri, self.scope, self.nonce = asked.payload.redirect_uri, asked.payload.scope, asked.payload.data.get("nonce")
        self.code_challenge = asked.payload.data.get("code_challenge")
        self.code_challenge_method = asked.payload.data.get("code_challenge_method")

    def get_redirect_uri(self) -> Any:  # noqa: ANN401 - authlib's
        return self.redirect_uri

    def get_scope(self) -> str:
        return str(self.scope)

    def get_nonce(self) -> Any:  # noqa: ANN401 - authlib's
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class OidcProvider:
    """A provider that answers while the `with` block runs.

    Args:
        client: the id of the one client that is registered.
        secret: its secret; none for a public client.
        redirects: its redirect addresses, of which one has to be sent word for word.
    """

    def __init__(
        self, client: str = "stannary-web", secret: str = "", redirects: tuple[str, ...] = ("http://127.0.0.1:1/back",)
    ) -> None:
        self.client, self.secret, self.redirects = client, secret, redirects
        self.keys = [ProviderKey()]
        self.user = "248289761001"
        self.url = ""
        self.forge: Forge | None = None
        self.document: dict[str, Any] = {}  # what discovery says differently
        self.codes: dict[str, _Code] = {}
        self.devices: dict[str, DeviceCredentialDict] = {}
        self.confirmed: dict[str, tuple[str, bool]] = {}  # user code → who, and whether they agreed
        self.fetched: list[str] = []
        self._server: BaseWSGIServer | None = None

    @property
    def jwks(self) -> dict[str, Any]:
        """Return the keys it publishes."""
        return {"keys": [key.jwk for key in self.keys]}

    def rotate(self) -> None:
        """Sign with a new key; the old one is no longer published."""
        self.keys = [ProviderKey("ES256", f"key-{int(self.keys[-1].kid.rpartition('-')[2]) + 1}")]

    def confirm(self, user_code: str, *, agreed: bool = True) -> None:
        """Do what somebody does at the address that a device shows them."""
        self.confirmed[user_code] = (self.user, agreed)

    def __enter__(self) -> Self:
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain HTTP, on this machine alone
        app = Flask("oidc-provider")
        server = AuthorizationServer(app, query_client=self._client, save_token=lambda *_: None)
        server.provider = self
        server.register_grant(_CodeGrant, [CodeChallenge(required=True), _Token(self)])
        server.register_grant(_DeviceGrant, [_Token(self)])
        server.register_endpoint(_DeviceEndpoint)
        _routes(self, app, server)
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _client(self, identifier: str) -> _Client | None:
        return _Client(self) if identifier == self.client else None


class _Token(OpenIDCode):  # type: ignore[misc] # authlib has no types
    def __init__(self, provider: OidcProvider) -> None:
        super().__init__(require_nonce=True)
        self.provider = provider

    def exists_nonce(self, nonce: str, _: object) -> bool:
        return any(code.nonce == nonce for code in self.provider.codes.values())

    def get_client_algorithm(self, _: object) -> str:
        return "ES256"

    def get_encode_header(self, _: object) -> dict[str, str]:
        return {"alg": "ES256", "kid": self.provider.keys[-1].kid, "typ": "JWT"}

    def get_client_claims(self, client: _Client) -> dict[str, Any]:
        return {"iss": self.provider.url, "aud": [client.get_client_id()]}

    def resolve_client_private_key(self, _: object) -> ECKey:
        key = self.provider.keys[-1]._key  # noqa: SLF001 - of this room
        return ECKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def generate_user_info(self, user: str, _: object) -> UserInfo:
        return UserInfo(sub=user, email=f"{user}@example.com", email_verified=True)

    def encode_id_token(self, token: dict[str, Any], asked: Any) -> str:  # noqa: ANN401 - authlib's request
        made = str(super().encode_id_token(token, asked))
        return self.provider.forge(_claims(made), self.provider.keys[-1]) if self.provider.forge else made


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc] # authlib has no types
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

    def save_authorization_code(self, code: str, asked: Any) -> None:  # noqa: ANN401 - authlib's request
        self.server.provider.codes[code] = _Code(code, asked, asked.user)

    def query_authorization_code(self, code: str, _: object) -> Any:  # noqa: ANN401 - a code, or None
        return self.server.provider.codes.get(code)

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        self.server.provider.codes.pop(authorization_code.code, None)

    def authenticate_user(self, authorization_code: _Code) -> str:
        return authorization_code.user


class _DeviceGrant(DeviceCodeGrant):  # type: ignore[misc] # authlib has no types
    def query_device_credential(self, device_code: str) -> Any:  # noqa: ANN401 - a credential, or None
        return self.server.provider.devices.get(device_code)

    def query_user_grant(self, user_code: str) -> Any:  # noqa: ANN401 - a user and whether they agreed, or None
        return self.server.provider.confirmed.get(user_code)

    def should_slow_down(self, _: object) -> bool:
        return False


class _DeviceEndpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc] # authlib has no types
    INTERVAL = 1

    def get_verification_uri(self) -> str:
        return f"{self.server.provider.url}/activate"

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
        made = {**data, "client_id": client_id, "scope": scope, "expires_at": time.time() + data["expires_in"]}
        self.server.provider.devices[data["device_code"]] = DeviceCredentialDict(made)


def _routes(provider: OidcProvider, app: Flask, server: AuthorizationServer) -> None:
    @app.get("/.well-known/openid-configuration")
    def describe() -> Response:
        methods = ["client_secret_basic", "client_secret_post"] if provider.secret else ["none"]
        found = {
            "issuer": provider.url, "authorization_endpoint": f"{provider.url}/authorize",
            "token_endpoint": f"{provider.url}/token",
            "jwks_uri": f"{provider.url}/jwks", "device_authorization_endpoint": f"{provider.url}/device",
            "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": methods,
        }  # fmt: skip
        return jsonify({name: value for name, value in (found | provider.document).items() if value is not None})

    @app.get("/jwks")
    def keys() -> Response:
        provider.fetched.append("jwks")
        return jsonify(provider.jwks)

    @app.get("/authorize")
    def authorize() -> Any:  # noqa: ANN401 - authlib's response
        try:
            grant = server.get_consent_grant(end_user=provider.user)
        except OAuth2Error as error:
            return Response(str(error), 400)
        return server.create_authorization_response(grant_user=provider.user, grant=grant)

    @app.post("/token")
    def token() -> Any:  # noqa: ANN401 - authlib's response
        return server.create_token_response()

    @app.post("/device")
    def device() -> Any:  # noqa: ANN401 - authlib's response
        return server.create_endpoint_response(DeviceAuthorizationEndpoint.ENDPOINT_NAME)

    @app.get("/activate")
    def activate() -> str:
        provider.confirm(request.args["user_code"])
        return "confirmed"


def _claims(token: str) -> dict[str, Any]:
    import json

    from joserfc.jws import extract_compact

    found: dict[str, Any] = json.loads(extract_compact(token.encode()).payload)
    return found

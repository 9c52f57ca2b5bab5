"""Keys and the audit log without the rest of the service, as commands need them: nothing heavy is loaded."""

from datetime import timedelta

from app.access.service import ApiKeyService
from app.audit.service import AuditService
from app.db.database import Database
from app.http.cursors import Cursors
from app.secrets_table import CURSOR_KEY, get_secret
from app.settings import Settings


def open_keys(settings: Settings, database: Database) -> tuple[ApiKeyService, AuditService]:
    """The keys and the audit log of a database; a running server finds by itself what is changed."""
    cursors = Cursors(get_secret(database, CURSOR_KEY))
    keys = ApiKeyService(database, cursors, reload=lambda: None)
    return keys, AuditService(database, cursors, timedelta(days=settings.audit_days))

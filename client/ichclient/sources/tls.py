"""TLS as the client speaks it to a PACS: whom to trust, and a certificate of its own."""

from __future__ import annotations

import ssl

from ichclient.errors import SourceError
from ichclient.sources.options import SourceOptions


def tls_context(options: SourceOptions) -> ssl.SSLContext:
    """A context that verifies certificate and name; raises SourceError for files that are none."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:
        raise SourceError(
            f"{options.ca_file} holds no certificates that can be read. Name a PEM file with --ca."
        ) from error
    if options.certificate is not None and options.key is not None:
        try:
            context.load_cert_chain(options.certificate, options.key, password="")
        except OSError as error:
            raise SourceError(
                f"{options.certificate} and {options.key} are no certificate and its key without a "
                "password. Name PEM files with --pacs-cert and --pacs-key."
            ) from error
    return context

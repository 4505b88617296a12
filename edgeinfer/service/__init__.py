"""The daemon as a systemd service: ``edgeinfer service install``, ``status`` and ``uninstall``.

    layout     where everything of one service lies
    needs      what a configuration calls for: devices, folders, credentials
    unit       the text of a unit file, and how it is rendered
    systemd    what is asked of systemd
    account    the user that the daemon runs as
    trial      the configuration, checked inside the sandbox of the service
    install    from a configuration to a running service
    removal    and back to nothing
    report     what there is to say of an installed service
"""

from __future__ import annotations

__all__: list[str] = []

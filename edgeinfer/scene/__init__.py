"""What happens in front of the camera: motion, tracks, zones, lines and the events that come of them. Pure: time is given.

    frame ─▶ schedule ─▶ motion ─▶ (model) ─▶ tracker ─▶ (cascade) ─▶ zones, crossing ─▶ events
"""

"""For people in front of this machine: pages on 127.0.0.1 that show pictures. Nothing here knows a broker."""

"""Where evidence comes from: each module turns one outside thing into evidence and judges nothing."""

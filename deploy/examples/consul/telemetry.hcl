# Goes into the configuration of each Consul server.
telemetry {
  statsd_address   = "127.0.0.1:8125"
  disable_hostname = true
}

"""What the Macs of the group `services` share: small VMs that are looked at often."""

ssh_user = "admin"
homebrew_user = "alice"

pulse_interval = 10

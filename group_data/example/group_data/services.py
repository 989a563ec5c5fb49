"""What the Macs of the group `services` share: small VMs that are looked at often."""

ssh_user = "admin"
ssh_strict_host_key_checking = "yes"
homebrew_user = "alice"

pulse_interval = 10

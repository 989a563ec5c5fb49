"""What the Macs of the group `builders` share: strong VMs whose images come and go."""

ssh_user = "admin"
homebrew_user = "alice"

colima_cpus = 4
colima_memory = 4
prune_mode = "images"

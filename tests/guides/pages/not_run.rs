//! Blocks that are not run, each with the reason.

/// Builds, installs or removes software of the host.
const INSTALLS: &str =
    "it changes the software of the host; tests/netns/packages installs packages in a root of its own";
/// Needs systemd as the first process.
const SYSTEMD: &str = "it needs systemd with its units; tests/netns/systemd.rs runs the unit";
/// Starts the service of a recipe.
const RECIPE: &str =
    "it restarts units of systemd; the test of this name in tests/recipes does it to these files";
/// Commands without a screen.
const COMMANDS: &str =
    "it shows commands without their output; other blocks have each of them with its screen";

pub(super) const NOT_RUN: &[(&str, &str)] = &[
    ("README.md: Install 1", INSTALLS),
    ("README.md: Use 1", COMMANDS),
    ("configuration.md: Effective values 1", "tests/config/explain.rs compares this very text"),
    (
        "doctor.md: vrrpx doctor 2",
        "its host has keepalived, nginx and Docker; tests/daemon/doctor.rs has each line by itself",
    ),
    (
        "doctor.md: vrrpx tune 2",
        "ten thousand gaps take minutes; tests/daemon/tune.rs compares this very text",
    ),
    (
        "handbook.md: Find out why it failed over on Saturday 2",
        "it needs the journal; tests/netns/systemd.rs reads its fields",
    ),
    ("handbook.md: Go back to keepalived 1", SYSTEMD),
    ("handbook.md: Remove it 1", INSTALLS),
    ("handbook.md: Upgrade 1", INSTALLS),
    ("handbook.md: Watch it with Prometheus 1", SYSTEMD),
    ("operations.md: Everything that is known 1", "tests/daemon/status.rs compares this very text"),
    ("operations.md: From keepalived, and back 1", INSTALLS),
    (
        "operations.md: JSON and the control socket 1",
        "requests and answers side by side, cut; tests/daemon/control.rs sends them",
    ),
    ("operations.md: Logs 2", SYSTEMD),
    ("operations.md: One instance 1", "tests/daemon/one_instance.rs compares this very text"),
    ("operations.md: To a router by name 1", "it needs three routers; tests/netns/successor.rs has them"),
    ("operations.md: LVS stays with keepalived 1", INSTALLS),
    (
        "operations.md: LVS stays with keepalived 3",
        "it needs a kernel with IPVS; tests/links/ipvs.rs reads the same table from /proc, in guests",
    ),
    ("operations.md: On a terminal 1", "tests/daemon/top compares this very text"),
    ("operations.md: Status 2", "certbot stands for any command; tests/netns/screen.rs has the exit codes"),
    ("operations.md: systemd 1", "a file, not a command"),
    ("packages.md: Any other distribution 1", INSTALLS),
    (
        "packages.md: Containers 2",
        "it needs a Docker engine; tests/netns/containers.rs runs the daemon in containers",
    ),
    ("packages.md: Debian and its derivatives 1", INSTALLS),
    ("packages.md: Fedora, openSUSE and others with RPM 1", INSTALLS),
    ("packages.md: Packages 1", INSTALLS),
    ("recipes/compose/README.md: Try it 1", RECIPE),
    ("recipes/haproxy/README.md: Try it 1", RECIPE),
    ("recipes/nginx/README.md: Try it 1", RECIPE),
    ("recipes/postgresql/README.md: Setting it up 1", RECIPE),
    ("recipes/postgresql/README.md: Setting it up 2", RECIPE),
    ("recipes/postgresql/README.md: Setting it up 3", RECIPE),
    ("recipes/postgresql/README.md: Try it 1", RECIPE),
    ("recipes/router/README.md: Try it 1", RECIPE),
    ("troubleshooting.md: MASTER, and no answer 1", COMMANDS),
    (
        "troubleshooting.md: Reception of others 2",
        "it needs a program that drops adverts; tests/netns/named.rs attaches one",
    ),
    ("tutorial.md: At night 1", COMMANDS),
    ("tutorial.md: Install 1", INSTALLS),
    ("tutorial.md: The same on two hosts 1", SYSTEMD),
    ("tutorial.md: The same on two hosts 2", SYSTEMD),
    ("tutorial.md: The same on two hosts 3", SYSTEMD),
    ("tutorial.md: The same on two hosts 4", SYSTEMD),
];

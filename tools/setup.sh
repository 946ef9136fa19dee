#!/bin/sh
# Makes .venv in the repository root and installs hipct into it (editable).
#
#   tools/setup.sh run     hipct and what it needs
#   tools/setup.sh test    the same, and what the tests need
#
# A second call with nothing changed ends at once and touches no network. PYTHON=... chooses the
# interpreter. Peers, napari, its system packages, g++ and Slurm serve some tests only: where one of them
# cannot be had, that is said, set-up goes on, and those tests are skipped.
set -eu
cd "$(dirname "$0")/.."

purpose=${1:-run}
python=.venv/bin/python
fingerprint=$({ cat pyproject.toml tools/setup.sh; pwd; } | cksum | cut -d ' ' -f 1)

say() { printf '%s\n' "$*" >&2; }

ready() { [ -e ".venv/.ready-$1-$fingerprint" ] && "$python" -c '' 2>/dev/null; }

install() { "$python" -m pip install --quiet "$@"; }

# In two steps, so that a call with all requirements present works without a network: hipct is
# linked by the hatchling of this environment, then what it (being installed) requires is fetched.
install_hipct() {
    install --no-build-isolation --no-deps --editable .
    install "$@"
}

find_python() {
    found_old=''
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c '' 2>/dev/null || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
                printf '%s\n' "$candidate"
                return
            fi
            without_venv=$candidate
        else
            found_old="$found_old $candidate ($("$candidate" -V 2>&1))"
        fi
    done
    if [ -n "${without_venv:-}" ]; then
        say "$without_venv has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv) and try again."
    else
        say "hipct needs Python 3.11 or later, found:${found_old:- none}; install one, or name it with: make setup PYTHON=/path/to/python3.12"
    fi
    exit 1
}

make_venv() {
    # A half-made .venv, or one whose interpreter has gone, is made anew.
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        chosen=$(find_python)
        say "Making .venv with $chosen ($("$chosen" -V 2>&1))."
        "$chosen" -m venv --clear .venv
    fi
    # pip 25.1 is the first that knows dependency groups.
    "$python" -c '
import pip, sys
sys.exit(tuple(int(part) for part in pip.__version__.split(".")[:2]) < (25, 1))
' || "$python" -m pip install --quiet --upgrade 'pip>=25.1'
    "$python" -c 'import editables, hatchling' 2>/dev/null ||
        install 'hatchling>=1.26' editables
}

# Drawing on a virtual screen is what the viewer's tests check; nothing else needs these.
screen_packages='xvfb xauth libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libdbus-1-3 libfontconfig1
libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0
libxcb-shape0 libxcb-xinerama0'

install_screen() {
    command -v xvfb-run >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say 'Installing a virtual screen (xvfb) for the tests of the viewer.'
        # shellcheck disable=SC2086  # one word a package
        if { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
            apt-get -qq install -y --no-install-recommends $screen_packages; } >/dev/null 2>&1; then
            return
        fi
    fi
    say "No virtual screen: tests that draw in the viewer are skipped. They need the system packages"
    say "$screen_packages"
}

# The tests run the CUDA kernels on the CPU, compiled by g++.
install_compiler() {
    command -v g++ >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say 'Installing g++ for the tests that run the kernels on the CPU.'
        if { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
            apt-get -qq install -y --no-install-recommends g++; } >/dev/null 2>&1; then
            return
        fi
    fi
    say 'No g++: tests that run the CUDA kernels on the CPU are skipped. They need the system package g++.'
}

# The tests of the cluster start a Slurm of one machine.
install_slurm() {
    command -v slurmctld >/dev/null 2>&1 && command -v munged >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say 'Installing Slurm for the tests of cluster jobs.'
        if { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
            --no-install-recommends slurmctld slurmd slurm-client munge; } >/dev/null 2>&1; then
            return
        fi
    fi
    say 'No Slurm: tests that submit jobs are skipped. They need the system packages slurmctld, slurmd,'
    say 'slurm-client and munge, and root.'
}

install_if_possible() {
    install "$@" ||
        say "Not installed: $*; the tests that need it are skipped. Try again: make setup-test"
}

case $purpose in
run)
    if ready test || ready run; then exit 0; fi
    make_venv
    say 'Installing hipct and what it needs into .venv (about a minute, 0.7 GB).'
    install_hipct hipct
    ;;
test)
    if ready test; then exit 0; fi
    make_venv
    say 'Installing hipct, test tools, peers and viewer into .venv (a few minutes, 3 GB).'
    install_hipct hipct --group test
    # With the tests' own in one step: what peers pin must fit them.
    install_if_possible --group test --group peers
    install_if_possible 'hipct[viewer]'
    install_screen
    install_compiler
    install_slurm
    ;;
*)
    say "tools/setup.sh: the purpose is '$purpose'; give run or test."
    exit 2
    ;;
esac
rm -f ".venv/.ready-$purpose-"*
: >".venv/.ready-$purpose-$fingerprint"
say 'Set up in .venv.'

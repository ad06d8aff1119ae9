#!/usr/bin/env bash
# Everything: set-up, then what needs no privileges, then what needs namespaces.
set -euo pipefail
cd "$(dirname "$0")"

./setup.sh
./check.sh
./lab.sh
echo 'all tests passed'

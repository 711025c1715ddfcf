#!/usr/bin/env bash
# Everything that says GPU, run and measured on the machine that this is started on; `--help` says how.
#   PYTHON=/path/to/python benchmarks/on_a_card.sh        without PYTHON: .venv/bin/python, or python3
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
if [[ -z ${PYTHON:-} && ! -x $python ]]; then python=python3; fi
exec env PYTHONUNBUFFERED=1 "$python" "$root/benchmarks/on_a_card.py" "$@"

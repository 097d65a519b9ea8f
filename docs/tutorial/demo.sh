#!/usr/bin/env bash
# The main job end to end on synthetic thin sections. Every command is printed before it runs.
set -euo pipefail
started=$SECONDS
run() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

rm -rf demo
run mineralseg synth demo/slides --samples 16 --size 768 --seed 7
run mineralseg init demo/work --from demo/slides --params params.yaml
run mineralseg synth demo/new --samples 1 --size 2048 --seed 2026
run cd demo/work
run mineralseg check
run dvc repro
run mineralseg models register
run mineralseg promote latest
run mineralseg models list
run mineralseg predict ../new --model-version @champion --out maps

cat <<END

Done in $((SECONDS - started)) s. What there is to see, in demo/work:
  the map of the new slide     maps/S01a/overlay.png (labels.tif, confidence.tif, modal.csv beside it)
  its true modal mineralogy    ../new/S01a/truth/modal.json
  the evaluation               reports/evaluation/index.html
  the runs in MLflow           cd demo/work && mlflow ui --backend-store-uri sqlite:///.mineralseg/mlflow.db
                               http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning
END

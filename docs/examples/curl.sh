#!/bin/sh
# Asks a feilun API with curl, which tries again by itself where it was told to come again later.
#
#   FEILUN_URL=http://127.0.0.1:8000 FEILUN_KEY=fl_... FEILUN_MODEL=reviews sh curl.sh
#
# One Idempotency-Key for all tries: the server answers and charges the call once.

set -eu

curl --silent --show-error --fail-with-body --retry 4 --max-time 60 \
  "$FEILUN_URL/v1/predict" \
  -H "Authorization: Bearer $FEILUN_KEY" \
  -H "Content-Type: application/json" \
  -H "Idempotency-Key: order-$$-$(date +%s)" \
  -d "{\"model\": \"${FEILUN_MODEL:-reviews}\", \"inputs\": [\"works well\", \"arrived broken\"]}"

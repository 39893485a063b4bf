-- One call after another with texts from $TEXTS; at the end one JSON line, as load.py prints it.
local texts = {}
for line in io.lines(os.getenv("TEXTS")) do
  texts[#texts + 1] = line
end
math.randomseed(7)

local headers = { ["Content-Type"] = "application/json" }
if os.getenv("KEY") ~= "" then
  headers["Authorization"] = "Bearer " .. os.getenv("KEY")
end

request = function()
  local body = '{"inputs":' .. texts[math.random(#texts)] .. '}'
  return wrk.format("POST", "/v1/predict", headers, body)
end

done = function(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  local answered = summary.requests - e.status
  io.write(string.format(
    '{"calls": %d, "failed": %d, "per_second": %.3f, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    answered, failed, answered / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end

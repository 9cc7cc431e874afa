-- What wrk sends: wrk ... -s produce.lua URL -- FILE. FILE holds the bodies, one a line, sent in turn.
-- Prints at the end: 202s, other answers, the first of the others, socket errors, microseconds.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  requests, turn = {}, 0
  accepted, others, first_other = 0, 0, 0
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(args[1]) do
    table.insert(requests, wrk.format("POST", "/api/v1/produce", headers, body))
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function response(status)
  if status == 202 then
    accepted = accepted + 1
  else
    others = others + 1
    if first_other == 0 then first_other = status end
  end
end

function done(summary)
  local sum = { 0, 0, 0 }
  for _, thread in ipairs(threads) do
    sum[1] = sum[1] + thread:get("accepted")
    sum[2] = sum[2] + thread:get("others")
    sum[3] = math.max(sum[3], thread:get("first_other"))
  end
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format("totals %d %d %d %d %d", sum[1], sum[2], sum[3], broken, summary.duration))
end

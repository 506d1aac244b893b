-- wrk … URL -- METHOD PATH TARGETS BODY: each request to a target picked at random.
-- PATH has %s for the session; TARGETS is a file of "token session" lines, of an API key with
-- "person" as well; BODY is a file or empty.

local heads, body = {}, ""

function init(arguments)
  local method, path, targets, body_file = unpack(arguments)
  if body_file and body_file ~= "" then
    body = io.open(body_file):read("*a")
    wrk.headers["Content-Type"] = "application/json"
  end
  local blank_line = "\r\nContent-Length: " .. #body .. "\r\n\r\n"
  for line in io.lines(targets) do
    local token, session, person = line:match("(%S+) (%S+) ?(%S*)")
    wrk.headers["Authorization"] = "Bearer " .. token
    wrk.headers["On-Behalf-Of"] = person ~= "" and person or nil
    -- Not with the body, which would be stored as often as there are targets.
    local head = wrk.format(method, (path:gsub("%%s", session)))
    heads[#heads + 1] = head:gsub("\r\n\r\n$", blank_line)
  end
  math.randomseed(1) -- the same order for each contestant
end

function request()
  return heads[math.random(#heads)] .. body
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.status, failed))
end

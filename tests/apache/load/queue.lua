-- SPDX-License-Identifier: Apache-2.0
-- wrk script: asks apps/waiting.py, which says for how long the request had to wait before it began.

local threads = {}

queued, bad_status, first_bad, longest_ms = 0, 0, "", 0

function setup(thread)
    table.insert(threads, thread)
end

function response(status, headers, body)
    if status ~= 200 then
        bad_status = bad_status + 1
        first_bad = first_bad == "" and status .. " " .. string.sub(body, 1, 200):gsub("%s+", " ") or first_bad
        return
    end
    local waited = tonumber(string.match(body, "waited (%d+) ms") or -1)
    if waited >= 5 then
        queued = queued + 1
    end
    longest_ms = math.max(longest_ms, waited)
end

function done(summary, latency, requests)
    local sums, first, longest = { queued = 0, bad_status = 0 }, "", 0

    for _, thread in ipairs(threads) do
        for name in pairs(sums) do
            sums[name] = sums[name] + thread:get(name)
        end
        first = first == "" and thread:get("first_bad") or first
        longest = math.max(longest, thread:get("longest_ms"))
    end
    local errors = summary.errors
    io.write(string.format("RESULT requests=%d connect=%d read=%d write=%d timeout=%d status=%d bad_status=%d queued=%d " ..
        "longest_wait_ms=%d longest_us=%d first_bad=%s\n", summary.requests, errors.connect, errors.read, errors.write,
        errors.timeout, errors.status, sums.bad_status, sums.queued, longest, latency.max, first))
end

-- SPDX-License-Identifier: Apache-2.0
-- wrk script: asks apps/waiting.py, which says for how long the request had to wait before it began.

local threads = {}

-- waits[ms]: how many waited for so long
queued, bad_status, first_bad, waits = 0, 0, "", {}

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
    waits[waited] = (waits[waited] or 0) + 1
end

function done(summary, latency, requests)
    local sums, first, all = { queued = 0, bad_status = 0 }, "", {}
    local longest, crowd = 0, 0

    for _, thread in ipairs(threads) do
        for name in pairs(sums) do
            sums[name] = sums[name] + thread:get(name)
        end
        first = first == "" and thread:get("first_bad") or first
        for waited, count in pairs(thread:get("waits")) do
            all[waited] = (all[waited] or 0) + count
            longest = math.max(longest, waited)
        end
    end
    -- Those who waited at least half as long as whoever waited longest.
    for waited, count in pairs(all) do
        crowd = crowd + (waited * 2 >= longest and count or 0)
    end
    local errors = summary.errors
    io.write(string.format("RESULT requests=%d connect=%d read=%d write=%d timeout=%d status=%d bad_status=%d queued=%d " ..
        "longest_wait_ms=%d crowd=%d longest_us=%d first_bad=%s\n", summary.requests, errors.connect, errors.read, errors.write,
        errors.timeout, errors.status, sums.bad_status, sums.queued, longest, crowd, latency.max, first))
end

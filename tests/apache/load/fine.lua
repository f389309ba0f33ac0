-- SPDX-License-Identifier: Apache-2.0
-- wrk script: the same small request again and again; what is not 200 is counted.

local threads = {}

bad_status, first_bad = 0, ""

function setup(thread)
    table.insert(threads, thread)
end

function response(status, headers, body)
    if status ~= 200 then
        bad_status = bad_status + 1
        first_bad = first_bad == "" and status .. " " .. string.sub(body, 1, 200):gsub("%s+", " ") or first_bad
    end
end

function done(summary, latency, requests)
    local bad, first = 0, ""

    for _, thread in ipairs(threads) do
        bad = bad + thread:get("bad_status")
        first = first == "" and thread:get("first_bad") or first
    end
    local errors = summary.errors
    io.write(string.format("RESULT requests=%d connect=%d read=%d write=%d timeout=%d status=%d bad_status=%d longest_us=%d " ..
        "median_us=%d p99_us=%d first_bad=%s\n", summary.requests, errors.connect, errors.read, errors.write, errors.timeout,
        errors.status, bad, latency.max, latency:percentile(50), latency:percentile(99), first))
end

-- SPDX-License-Identifier: Apache-2.0
-- wrk script: a mixture of what browsers ask of the two sites of lib/PyDaemonTest/Site.pm, in fixed proportions.
--   wrk ... -s mixed.lua URL -- PORT [DJANGO-COOKIES]
-- Without cookies it is only the two smallest kinds, one without and one with a body.
-- What is echoed names its request, so that an answer which went to somebody else is noticed.

local threads = {}
local boundary = "----pydaemon-load"
local kinds, total = {}, 0
local pending, sequence = {}, 0

asked, echoed, wrong, bad_status, first_bad = 0, 0, 0, 0, ""

function setup(thread)
    thread:set("number", #threads + 1)
    table.insert(threads, thread)
end

local function kind(weight, make)
    total = total + weight
    table.insert(kinds, { upto = total, make = make })
end

local function always(request)
    return function() return request end
end

-- A body that begins and ends with its name.
local function echo(headers, size)
    return function()
        sequence = sequence + 1
        local name = string.format("echo-%d-%d;", number, sequence)
        pending[name] = size
        return wrk.format("POST", "/echo", headers, name .. string.rep("x", size - 2 * #name) .. name)
    end
end

function init(args)
    local port, cookies = args[1], args[2]
    local blog = { Host = "blog.test:" .. port }
    local member = { Host = blog.Host, Cookie = cookies }
    local shop = { Host = "shop.test:" .. port }
    local json = { Host = shop.Host, ["Content-Type"] = "application/json" }
    local form = { Host = shop.Host, ["Content-Type"] = "application/x-www-form-urlencoded" }
    local text = { Host = shop.Host, ["Content-Type"] = "text/plain" }
    local multipart = { Host = blog.Host, ["Content-Type"] = "multipart/form-data; boundary=" .. boundary }
    local file = "--" .. boundary .. '\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' ..
        string.rep("0123456789", 30000) .. "\r\n--" .. boundary .. "--\r\n"

    math.randomseed(number)
    if not cookies then
        kind(1, always(wrk.format("GET", "/plain", shop)))
        kind(1, echo(text, 300))
        return
    end
    kind(40, always(wrk.format("GET", "/plain", shop)))
    kind(10, always(wrk.format("GET", "/", blog)))
    kind(8, always(wrk.format("GET", "/admin/", member)))
    kind(4, always(wrk.format("GET", "/admin/notes/note/", member)))
    kind(10, always(wrk.format("POST", "/json", json, '{"items": [1, 2, 3], "name": "load"}')))
    kind(6, always(wrk.format("POST", "/form", form, "a=1&b=two&b=three")))
    kind(10, always(wrk.format("GET", "/kilobytes/50", shop)))
    kind(5, always(wrk.format("GET", "/count", shop)))
    kind(2, always(wrk.format("GET", "/stream/100", shop)))
    kind(8, echo(text, 300))
    kind(3, echo(text, 100000))
    kind(2, always(wrk.format("POST", "/upload", multipart, file)))
    kind(1, always(wrk.format("GET", "/download/1", blog)))
    kind(1, always(wrk.format("GET", "/static/admin/css/base.css", blog)))
end

function request()
    local pick = math.random(total)

    asked = asked + 1
    for _, one in ipairs(kinds) do
        if pick <= one.upto then
            return one.make()
        end
    end
end

function response(status, headers, body)
    if status ~= 200 then
        bad_status = bad_status + 1
        first_bad = first_bad == "" and status .. " " .. string.sub(body, 1, 200):gsub("%s+", " ") or first_bad
        return
    end
    local name = string.match(body, "^echo%-%d+%-%d+;")
    if name then
        echoed = echoed + 1
        if pending[name] ~= #body or string.sub(body, -#name) ~= name then
            wrong = wrong + 1
        end
        pending[name] = nil
    end
end

function done(summary, latency, requests)
    local sums = { asked = 0, echoed = 0, wrong = 0, bad_status = 0 }
    local first = ""

    for _, thread in ipairs(threads) do
        for name in pairs(sums) do
            sums[name] = sums[name] + thread:get(name)
        end
        first = first == "" and thread:get("first_bad") or first
    end
    local errors = summary.errors
    io.write(string.format("RESULT requests=%d connect=%d read=%d write=%d timeout=%d status=%d bad_status=%d echoed=%d " ..
        "wrong=%d longest_us=%d first_bad=%s\n", summary.requests, errors.connect, errors.read, errors.write,
        errors.timeout, errors.status, sums.bad_status, sums.echoed, sums.wrong, latency.max, first))
end

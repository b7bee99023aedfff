-- Stands before each of the other scripts. ARGV[1]: now in microseconds, or "" for the clock of Redis.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local KEPT_FOR_S = 300 -- beyond the end of every entry


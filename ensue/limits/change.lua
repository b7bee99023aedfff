-- Sets amounts of one key to the truth: KeyMeters.change in Redis. KEYS: as for take.lua, one pair a change.
-- ARGV: now (see common.lua), the entry's id, and for each change: lifetime in microseconds, before, after.

local id = ARGV[2]

for i = 1, #KEYS / 2 do
  local entries, used, first = KEYS[2 * i - 1], KEYS[2 * i], 3 * i
  local before, after = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local member = id .. ':' .. ARGV[first + 1]
  if after > before then
    local surplus = string.format('%.0f', after - before)
    local ends_at = string.format('%.0f', now + tonumber(ARGV[first]))
    if redis.call('ZADD', entries, ends_at, id .. '+:' .. surplus) == 1 then
      redis.call('INCRBY', used, surplus)
    end
    redis.call('EXPIRE', entries, KEPT_FOR_S)
    redis.call('EXPIRE', used, KEPT_FOR_S)
  elseif after < before then
    local ends_at = redis.call('ZSCORE', entries, member)
    if ends_at then -- else it has ended, and counts no more
      redis.call('ZREM', entries, member)
      redis.call('DECRBY', used, string.format('%.0f', before - after))
      if after > 0 then
        redis.call('ZADD', entries, ends_at, id .. ':' .. ARGV[first + 2])
      end
    end
  end
end

-- Lets entries that have not ended end later: KeyMeters.renew in Redis. KEYS: as for take.lua, one pair an entry.
-- ARGV: now (see common.lua), lifetime in microseconds, and each entry's id:amount.

local ends_at = string.format('%.0f', now + tonumber(ARGV[2]))

for i = 1, #KEYS / 2 do
  local entries, used = KEYS[2 * i - 1], KEYS[2 * i]
  local score = redis.call('ZSCORE', entries, ARGV[i + 2])
  if score and tonumber(score) > now then
    redis.call('ZADD', entries, 'XX', ends_at, ARGV[i + 2])
    redis.call('EXPIRE', entries, KEPT_FOR_S)
    redis.call('EXPIRE', used, KEPT_FOR_S)
  end
end

-- Meets all demands on one key, or none: KeyMeters.take in Redis.
-- KEYS: for each demand its entries (a sorted set of id:amount by end) and what is used of it (a number).
-- ARGV: now (see common.lua), the entry's id, and for each demand: lifetime in microseconds, amount, limit or -1,
-- 1 where it is only a probe, 1 where its entries are wanted. Returns for each demand: 1 if it fits, used, microseconds
-- until it fits, until reset, and the entries.

local id = ARGV[2]

local function amount_of(member)
  return tonumber(string.match(member, ':(%d+)$'))
end

local function as_text(number)
  return string.format('%.0f', number)
end

local function drop_ended(entries, used)
  local sum = 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', entries, '-inf', as_text(now))) do
    sum = sum + amount_of(member)
  end
  if sum > 0 then
    redis.call('ZREMRANGEBYSCORE', entries, '-inf', as_text(now))
    redis.call('DECRBY', used, as_text(sum))
  end
  return tonumber(redis.call('GET', used) or 0)
end

local function wait_us(entries, used, amount, limit)
  local surplus = used + math.min(amount, limit) - limit
  local first = 0
  while surplus > 0 do
    local chunk = redis.call('ZRANGE', entries, first, first + 99, 'WITHSCORES')
    if #chunk == 0 then
      return 0
    end
    for i = 1, #chunk, 2 do
      surplus = surplus - amount_of(chunk[i])
      if surplus <= 0 then
        return tonumber(chunk[i + 1]) - now
      end
    end
    first = first + 100
  end
  return 0
end

local function reset_us(entries)
  local last = redis.call('ZRANGE', entries, -1, -1, 'WITHSCORES')
  return #last > 0 and tonumber(last[2]) - now or 0
end

local readings, all_fit = {}, true
for i = 1, #KEYS / 2 do
  local entries, used_key, first = KEYS[2 * i - 1], KEYS[2 * i], 5 * i - 2
  local amount, limit, is_probe = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]), ARGV[first + 3] == '1'
  local used = drop_ended(entries, used_key)
  local fits = amount == 0 or limit < 0 or used + amount <= limit
  local wait = fits and 0 or wait_us(entries, used, amount, limit)
  readings[i] = {fits and 1 or 0, used, wait, reset_us(entries), {}}
  all_fit = all_fit and (fits or is_probe)
end
if all_fit then
  for i = 1, #KEYS / 2 do
    local entries, used_key, first = KEYS[2 * i - 1], KEYS[2 * i], 5 * i - 2
    local amount, is_probe = tonumber(ARGV[first + 1]), ARGV[first + 3] == '1'
    if amount > 0 and not is_probe then
      local ends_at = now + tonumber(ARGV[first])
      -- an entry that is there was taken by this very call, whose answer was lost on its way
      if redis.call('ZADD', entries, as_text(ends_at), id .. ':' .. ARGV[first + 1]) == 1 then
        redis.call('INCRBY', used_key, ARGV[first + 1])
      end
      redis.call('EXPIRE', entries, KEPT_FOR_S)
      redis.call('EXPIRE', used_key, KEPT_FOR_S)
      readings[i][2] = tonumber(redis.call('GET', used_key))
      readings[i][4] = reset_us(entries)
    end
    if ARGV[first + 4] == '1' then
      readings[i][5] = redis.call('ZRANGE', entries, 0, -1)
    end
  end
end
return readings

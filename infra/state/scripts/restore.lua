-- A living holder finds its task gone (a flush): it puts back what it knows, unless another was
-- quicker. KEYS task steps   ARGV token n (field value)*n n (step output)*n
-- returns 'ok' | 'lost'
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'token') == ARGV[1] and 'ok' or 'lost'
end
local count = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'token', ARGV[1], unpack(ARGV, 3, 2 + 2 * count))
local at = 3 + 2 * count
for i = 1, tonumber(ARGV[at]) do
  redis.call('HSET', KEYS[2], ARGV[at + 2 * i - 1], ARGV[at + 2 * i])
end
return 'ok'

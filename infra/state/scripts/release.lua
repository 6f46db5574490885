-- The time of a deferred task has come. One that has gone on, or ended, is left alone.
-- KEYS task   ARGV now   returns 1 done, 0 nothing to do
if redis.call('HGET', KEYS[1], 'status') ~= 'SCHEDULED' then
  return 0
end
redis.call('HSET', KEYS[1], 'status', 'PENDING', 'updated_at', ARGV[1])
return 1

-- Somebody wants a deferred task to run now. One that has gone on, or ended, is left alone.
-- KEYS task   ARGV at_ms now   returns 1 done, 0 nothing to do
if redis.call('HGET', KEYS[1], 'status') ~= 'SCHEDULED' then
  return 0
end
redis.call('HSET', KEYS[1], 'run_at', ARGV[1], 'not_before', ARGV[1], 'updated_at', ARGV[2])
return 1

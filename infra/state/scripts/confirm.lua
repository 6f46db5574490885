-- The broker has the task: it must not expire any more. One that has been claimed is persistent
-- already, and one that has ended is the recorder's to expire.
-- KEYS task events   returns 1 done, 0 nothing to do
if redis.call('HGET', KEYS[1], 'status') ~= 'PENDING' then
  return 0
end
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
return 1

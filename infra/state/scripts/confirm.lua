-- The broker has the task: it must not expire any more. One that has been claimed is persistent
-- already, and one that has ended is the recorder's to expire.
-- KEYS task events steps   returns 1 done, 0 nothing to do
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'PENDING' and status ~= 'SCHEDULED' then
  return 0
end
for _, key in ipairs(KEYS) do
  redis.call('PERSIST', key)
end
return 1

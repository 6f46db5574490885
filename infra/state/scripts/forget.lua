-- The broker has never confirmed these tasks, and their time is over. One that has been claimed all
-- the same stays.
-- KEYS (task events steps)*n   returns how many are forgotten
local forgotten = 0
for i = 1, #KEYS, 3 do
  local held = redis.call('HMGET', KEYS[i], 'status', 'attempt')
  if (held[1] == 'PENDING' or held[1] == 'SCHEDULED') and not held[2] then
    redis.call('DEL', KEYS[i], KEYS[i + 1], KEYS[i + 2])
    forgotten = forgotten + 1
  end
end
return forgotten

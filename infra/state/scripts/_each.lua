-- Comes after every script, whose body is the function `call`: calls that came together are run one
-- after the other, and each has its own answer, or its own error. `close` ends what the calls share.
-- KEYS of all calls   ARGV n (keys args)*n, then the arguments of all calls
local function part(list, first, count)
  local found = {}
  for i = 1, count do
    found[i] = list[first + i]
  end
  return found
end
local count = tonumber(ARGV[1])
local answers, key, arg = {}, 0, 2 * count + 1
for i = 1, count do
  local keys, args = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local fine, answer = pcall(call, part(KEYS, key, keys), part(ARGV, arg, args))
  if not fine and type(answer) ~= 'table' then
    answer = {err = tostring(answer)}
  end
  answers[i] = answer
  key, arg = key + keys, arg + args
end
if close then
  close()
end
return answers

-- Reads some signals.
--
-- KEYS   for each cluster 2: schema, signals
-- ARGV   for each signal 2: the number of its cluster from 1, id
-- reply  for each signal its record; empty for none

local records = {}
for i = 1, #ARGV, 2 do
  records[#records + 1] = redis.call('HGET', KEYS[2 * tonumber(ARGV[i])], ARGV[i + 1]) or ''
end
return records

-- Stores merged signals, if nobody changed what they were merged with.
--
-- KEYS   for each cluster 2: schema, signals
-- ARGV   1 channel of wakes, 2 who wakes,
--        then for each signal 4: the number of its cluster from 1, id, the record that was there
--        (empty for none), the merged record
-- reply  {} when all are stored; else nothing is, and for each signal that was changed since:
--        {its number from 1, the record that is there (empty for none), …}

local changed = {}
for i = 3, #ARGV, 4 do
  local there = redis.call('HGET', KEYS[2 * tonumber(ARGV[i])], ARGV[i + 1]) or ''
  if there ~= ARGV[i + 2] then
    changed[#changed + 1] = text((i + 1) / 4)
    changed[#changed + 1] = there
  end
end
if #changed > 0 then return changed end

local denied = forbidden({ { 'HSET', 'id', 'record' }, { 'SET', SCHEMA } })
if denied then return denied end
for i = 3, #ARGV, 4 do
  redis.call('HSET', KEYS[2 * tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 3])
end
for i = 1, #KEYS, 2 do
  redis.call('SET', KEYS[i], SCHEMA)
  wake(ARGV[1], ARGV[2], 'recorded', KEYS[i])
end
return {}

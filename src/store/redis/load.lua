-- Reads whole hashes and records of one cluster, all of one moment.
--
-- KEYS   1 schema, then the keys to read
-- reply  for each its records: {id, record, …} of a hash, {record} or {} of a string; then {life of the store}

local all = {}
for i = 2, #KEYS do
  if redis.call('TYPE', KEYS[i]).ok == 'string' then
    all[#all + 1] = { redis.call('GET', KEYS[i]) }
  else
    all[#all + 1] = redis.call('HGETALL', KEYS[i])
  end
end
all[#all + 1] = { life() }
return all

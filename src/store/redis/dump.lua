-- Reads all that is kept of a cluster, of one moment.
--
-- KEYS   1 schema, 2 claim, 3 signals, 4 workers, 5 intents, 6 pools, 7 cluster, 8 history
-- reply  {last token, last entry}, then of signals, workers, intents and pools {id, record, …},
--        {record} or {} of the cluster, {number, entry, …} of the history, oldest first

local last = '0'
if redis.call('EXISTS', KEYS[8]) == 1 then
  local about = redis.call('XINFO', 'STREAM', KEYS[8])
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then last = string.match(about[i + 1], '^%d+') end
  end
end
local all = { { redis.call('HGET', KEYS[2], 'token') or '0', last } }
for i = 3, 6 do all[#all + 1] = redis.call('HGETALL', KEYS[i]) end
local cluster = redis.call('GET', KEYS[7])
all[#all + 1] = cluster and { cluster } or {}
local history = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[8], '-', '+')) do
  history[#history + 1] = string.match(entry[1], '^%d+')
  history[#history + 1] = entry[2][4]
end
all[#all + 1] = history
return all

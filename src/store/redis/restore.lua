-- Writes all that is kept of a cluster of which nothing is kept.
--
-- KEYS   1 schema, 2 claim, 3 signals, 4 workers, 5 intents, 6 pools, 7 cluster, 8 history
-- ARGV   1 last token, 2 last entry, then records, each a word and what belongs to it:
--        put KEY ID RECORD        a record, into the hash KEYS[KEY]
--        cluster RECORD           the cluster's record
--        entry NUMBER AT RECORD   an entry of the history, AT in microseconds since 1970
-- reply  1; 0 when anything is kept, if only a token

local denied = forbidden({
  { 'HSET', 'id', 'record' }, { 'SET', 'record' }, { 'XADD', '1-0', 'entry', 'record' },
  { 'XTRIM', 'MAXLEN', '1' },
})
if denied then return denied end
for _, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then return 0 end
end
redis.call('HSET', KEYS[2], 'token', ARGV[1])
redis.call('SET', KEYS[1], SCHEMA)
local i = 3
while i <= #ARGV do
  if ARGV[i] == 'put' then
    redis.call('HSET', KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 3])
    i = i + 4
  elseif ARGV[i] == 'cluster' then
    redis.call('SET', KEYS[7], ARGV[i + 1])
    i = i + 2
  else
    redis.call('XADD', KEYS[8], ARGV[i + 1] .. '-0', 'at', ARGV[i + 2], 'entry', ARGV[i + 3])
    i = i + 4
  end
end
-- Where the last entry is gone, all are; a stream keeps its last number without any.
if ARGV[2] ~= '0' and redis.call('EXISTS', KEYS[8]) == 0 then
  redis.call('XADD', KEYS[8], ARGV[2] .. '-0', 'at', '0', 'entry', '')
  redis.call('XTRIM', KEYS[8], 'MAXLEN', '=', '0')
end
return 1

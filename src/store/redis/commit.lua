-- Stores a set of changes under a claim, whole or not at all.
--
-- KEYS   1 schema, 2 claim, 3 signals, 4 workers, 5 intents, 6 pools, 7 cluster, 8 history
-- ARGV   1 token, 2 holder, 3 order of this call,
--        4 entries to keep, 5 age to keep in microseconds, 6 entries to drop at most,
--        then the changes, each a word and what belongs to it:
--        put KEY ID RECORD     a record, into the hash KEYS[KEY]
--        drop KEY ID           a record, out of it
--        cluster RECORD        the cluster's record
--        forget ID LAST_SEEN   a signal, unless it was seen again
--        entry AT RECORD       an entry of the history, AT in microseconds since 1970
-- reply  1; 0 when the claim is not current, or a later commit of it was here before

local denied = forbidden({
  { 'HSET', 'id', 'record' }, { 'HDEL', 'id' }, { 'SET', 'record' },
  { 'XADD', '1-0', 'entry', 'record' }, { 'XTRIM', 'MAXLEN', '1' },
})
if denied then return denied end
local signals, cluster, history = KEYS[3], KEYS[7], KEYS[8]
local now = clock()
if not is_current(KEYS[2], ARGV[1], ARGV[2], now) then return 0 end
if tonumber(redis.call('HGET', KEYS[2], 'order')) >= tonumber(ARGV[3]) then return 0 end

-- The number of the last entry outlives the entry, so that numbers never come again.
local last = 0
if redis.call('EXISTS', history) == 1 then
  local about = redis.call('XINFO', 'STREAM', history)
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then
      last = tonumber(string.match(about[i + 1], '^%d+'))
    end
  end
end

local function last_seen(id)
  local record = redis.call('HGET', signals, id)
  if not record then return nil end
  local read, signal = pcall(cjson.decode, record)
  return read and type(signal) == 'table' and signal.last_seen or nil
end

local writes = {
  put = { 3, function(key, id, record) redis.call('HSET', KEYS[tonumber(key)], id, record) end },
  drop = { 2, function(key, id) redis.call('HDEL', KEYS[tonumber(key)], id) end },
  cluster = { 1, function(record) redis.call('SET', cluster, record) end },
  forget = { 2, function(id, seen)
    if last_seen(id) == seen then redis.call('HDEL', signals, id) end
  end },
  entry = { 2, function(at, record)
    last = last + 1
    redis.call('XADD', history, text(last) .. '-0', 'at', at, 'entry', record)
  end },
}

redis.call('HSET', KEYS[2], 'order', ARGV[3])
local at = 7
while at <= #ARGV do
  local write = writes[ARGV[at]]
  write[2](ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  at = at + 1 + write[1]
end

-- Drops the oldest entries that are too many or too old.
local keep, age, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local length = redis.call('XLEN', history)
local dropped, from, look = 0, '-', 1
while dropped < most do
  local oldest = redis.call('XRANGE', history, from, '+', 'COUNT', look)
  local ended = 0
  for _, entry in ipairs(oldest) do
    local is_over = length - dropped > keep or now - tonumber(entry[2][2]) > age
    if not is_over or dropped == most then break end
    ended, dropped, from = ended + 1, dropped + 1, '(' .. entry[1]
  end
  if ended == 0 or ended < #oldest then break end
  look = 100
end
if dropped > 0 then redis.call('XTRIM', history, 'MAXLEN', '=', text(length - dropped)) end
return 1

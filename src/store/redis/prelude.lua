-- Put before every script: what all of them ask before they do anything.
--
-- KEYS[i]   a key; its last part tells what it is: {bw:CLUSTER}:claim
-- reply     FOREIGN, when a key is of another type than ours: another program's
--           NEWER, when a newer version wrote the cluster
--           NOPERM, when the user may not do all of what the script would
--
-- A script is not undone when it fails half way, so all that can fail comes before the first write.

local SCHEMA = '1'

local TYPES = {
  schema = 'string', claim = 'hash', signals = 'hash', workers = 'hash', intents = 'hash',
  pools = 'hash', cluster = 'string', history = 'stream',
}

-- Why the keys cannot be used; nil when they can.
local function refusal()
  for _, key in ipairs(KEYS) do
    local kind = string.match(key, '}:(%l+)$')
    local found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= TYPES[kind] then
      return redis.error_reply('FOREIGN ' .. found .. ' ' .. key)
    end
    if kind == 'schema' and found ~= 'none' then
      local schema = redis.call('GET', key)
      if schema ~= SCHEMA then return redis.error_reply('NEWER ' .. schema .. ' ' .. key) end
    end
  end
end

-- Whether this user may do all of these, each {command, argument behind the key, …}: the reply when not. Servers
-- before 7.0 cannot tell; there a right that is missing stops a script where it stands.
local function forbidden(commands)
  for _, command in ipairs(redis.acl_check_cmd and commands or {}) do
    if not redis.acl_check_cmd(command[1], KEYS[1], unpack(command, 2)) then
      return redis.error_reply('NOPERM this user may not run ' .. command[1])
    end
  end
end

-- Microseconds since 1970, by this server's clock. Below 2^53, so exact.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- A whole number as text; Lua's own way gives 1.7e+15.
local function text(number) return string.format('%.0f', number) end

-- Which life of the store this is: another after a restart and after a fail-over, also one there and back, which all
-- may have forgotten what was written last. The same for ever where the user may not ask.
local function life()
  local function told(section, name)
    local info = redis.pcall('INFO', section)
    return type(info) == 'string' and string.match(info, name .. ':(%w+)') or 'unknown'
  end
  return told('server', 'run_id') .. '/' .. told('replication', 'master_replid')
end

-- Whether the claim in this key is held under this token by this holder, now, and was taken in this life.
local function is_current(key, token, holder, now)
  local held = redis.call('HMGET', key, 'token', 'holder', 'expires', 'life')
  return held[1] == token and held[2] == holder and now < tonumber(held[3] or 0) and held[4] == life()
end

-- Tells the other replicas what was done to the cluster of this schema key. A hint: where the user may not publish,
-- they look in their own time.
local function wake(channel, who, did, key)
  redis.pcall('PUBLISH', channel, who .. ' ' .. did .. ' ' .. string.match(key, '^{bw:(.*)}:schema$'))
end

local refused = refusal()
if refused then return refused end

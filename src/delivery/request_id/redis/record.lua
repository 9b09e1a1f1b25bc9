-- Every change of the record of a request id, each in one step.
--
-- The record is a hash:
--   fingerprint   what was asked, as a keyed hash
--   state         claimed | sent | created
--   holder        who has the claim; absent once it was given up
--   lease         when the claim lapses; it goes on after creation until the files are uploaded
--   sender        who sent the request last
--   sent          when
--   id, complete  the connection; whether its files were uploaded too (1 or 0)
--
-- Times are milliseconds of this server's clock: those of several gateways need not agree.
-- Answers {word, number, number}. "lost": the record is not the caller's to change.

local key = KEYS[1]
local operation, holder, lease_ms, retention_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function get(field)
  return redis.call('HGET', key, field)
end

local function set(...)
  redis.call('HSET', key, ...)
  redis.call('PEXPIRE', key, retention_ms)
end

local function moment(ms)
  return string.format('%.0f', ms)
end

local function hold()
  set('holder', holder, 'lease', moment(now + lease_ms))
end

local function done()
  return {'done', 0, 0}
end

local function lost()
  return {'lost', 0, 0}
end

-- Whether the record has a holder. A holder whose lease has lapsed counts as gone.
local function is_held()
  local lease = get('lease')
  return get('holder') and lease and tonumber(lease) > now
end

-- Whether the caller has the claim: until somebody else takes it, lapsed or not.
local function is_ours()
  return get('holder') == holder
end

local operations = {}

function operations.claim(state, fingerprint)
  if not state then
    set('fingerprint', fingerprint, 'state', 'claimed')
    hold()
    return {'run', 0, 0}
  end
  if get('fingerprint') ~= fingerprint then return {'mismatch', 0, 0} end
  local id, complete = 0, 0
  if state == 'created' then
    id, complete = tonumber(get('id')), tonumber(get('complete'))
    if complete == 1 then return {'replay', id, 1} end
  end
  if is_held() and not is_ours() then return {'wait', id, 0} end
  hold()
  if state == 'created' then return {'replay', id, 0} end
  if state == 'claimed' then return {'run', 0, 0} end
  return {'recover', math.max(0, now - tonumber(get('sent'))), 0}
end

function operations.renew()
  if not is_ours() then return lost() end
  hold()
  return done()
end

function operations.sending(state)
  if state == 'created' or not is_ours() then return lost() end
  set('state', 'sent', 'sender', holder, 'sent', moment(now))
  hold()
  return done()
end

-- An outcome is a fact: who sent the request may report it even if the claim was taken over, and
-- whoever uploads the files later may report that.
function operations.created(state, id, complete)
  if state == 'created' then
    if get('id') ~= id then return lost() end
    if complete == '1' then set('complete', '1') end
  else
    if not state or not (is_ours() or get('sender') == holder) then return lost() end
    set('state', 'created', 'id', id, 'complete', complete)
    redis.call('HDEL', key, 'sender', 'sent')
  end
  if complete == '1' then redis.call('HDEL', key, 'holder', 'lease') end
  return done()
end

function operations.release(state)
  if state == 'created' or not is_ours() then return lost() end
  redis.call('DEL', key)
  return done()
end

function operations.abandon(state)
  if not is_ours() then return state == 'created' and done() or lost() end
  if state == 'claimed' then
    redis.call('DEL', key)
  else
    redis.call('HDEL', key, 'holder', 'lease')
    redis.call('PEXPIRE', key, retention_ms)
  end
  return done()
end

function operations.held()
  return {'held', is_held() and 1 or 0, 0}
end

return operations[operation](get('state'), ARGV[5], ARGV[6])

import { createHash } from "node:crypto";
import type { Line } from "./line.ts";
import type { Argument, Reply } from "./link.ts";

/** A Lua script: one atomic step of Redis. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

/**
 * What the scripts share. The first line of a script decides that Redis refuses it as a whole, before it runs, where it is full, read-only or failing
 * (scripts of the old kind are stopped in their middle). Large numbers are written by `%.0f`, since Lua writes 1e+15 for them;
 * others by Lua itself, which takes 0.13 us of 3.04 less for each message.
 *
 * The log is a Stream; the entry with the id `42-0` has one field, whose name is its head, `at tag below size kind+event`, and whose value is its data.
 * `below` is the bytes of all entries before it. The hash `meta` says where the log stands; `firstAt`, `firstTag` and `bytesBelow` are those of entry `first`.
 */
const SHARED = `
local log, meta, keys, ages = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local function n(value) return value < 1e14 and value .. '' or string.format('%.0f', value) end

local info = redis.pcall('INFO', 'replication')
if type(info) ~= 'string' then info = '' end
local repl = string.match(info, 'master_replid:(%w+)') or ''

local lineage, oldRepl, first, top, topTag, boundaryTag, lastAt, firstAt, firstTag, bytesTop, bytesBelow, removed
local marks = {}
local now, ageMax

local function load()
  local m = redis.call('HMGET', meta, 'lineage', 'repl', 'first', 'top', 'topTag', 'boundaryTag', 'lastAt', 'firstAt', 'firstTag', 'bytesTop', 'bytesBelow', 'removed')
  lineage, oldRepl, topTag, boundaryTag, removed = m[1], m[2], m[5], m[6], m[12]
  if not lineage then return end
  first, top, lastAt, bytesTop, bytesBelow = tonumber(m[3]), tonumber(m[4]), tonumber(m[7]), tonumber(m[10]), tonumber(m[11])
  marks[first] = { tonumber(m[8]), m[9], bytesBelow }
  if first <= top and redis.call('XLEN', log) == 0 then
    -- expired as a whole, or evicted
    first, boundaryTag, bytesBelow = top + 1, topTag, bytesTop
  end
end

-- at, tag and bytes below of an entry
local function mark(offset)
  local known = marks[offset]
  if known then return known end
  local id = n(offset)
  local entry = redis.call('XRANGE', log, id, id)[1]
  local at, tag, below = 0, '--------', bytesBelow
  if entry then
    at, tag, below = string.match(entry[2][1], '^(%d+) (%S+) (%d+)')
  end
  known = { tonumber(at), tag, tonumber(below) }
  marks[offset] = known
  return known
end

-- the first offset that is kept, or top + 1: what is kept is a suffix, so the stride is doubled and then halved
local function firstKept(isKept)
  if first > top or isKept(first) then return first end
  local trimmed, stride = first, 1
  while trimmed + stride <= top and not isKept(trimmed + stride) do
    trimmed = trimmed + stride
    stride = stride * 2
  end
  local kept = math.min(trimmed + stride, top + 1)
  while kept - trimmed > 1 do
    local middle = trimmed + math.floor((kept - trimmed) / 2)
    if isKept(middle) then kept = middle else trimmed = middle end
  end
  return kept
end
`;

/**
 * ARGV: now, countMax, bytesMax, ageMax, keysMax, keyAgeMin, lineageMax (times in ms), 8 letters for an epoch, the offset, the epoch and the tag that the
 * followers of the asker know, the asker, how to publish and where, whether a write must be made, then four of each draft: tag, `size kind+event`, data, and `key print` or nothing.
 *
 * Answers: epoch, the start of its era, at, the answers (an offset; or a text: `d offset tag epoch`, `c`, `f`), the entries between what the followers know and these, and 1
 * if what the followers know is not there any more.
 */
const APPEND = `#!lua
${SHARED}
now, ageMax = tonumber(ARGV[1]), tonumber(ARGV[4])
local countMax, bytesMax, keysMax, keyAgeMin, lineageMax = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local letters, known, knownEpoch, knownTag = ARGV[8], tonumber(ARGV[9]), ARGV[10], ARGV[11]
local asker, publish, wake, touch = ARGV[12], ARGV[13], ARGV[14], ARGV[15]

load()
local epoch, start
local isOld = lineage
if lineage then
  epoch, start = string.match(lineage, '([^,:]+):(%d+)$')
  start = tonumber(start)
else
  first, top, topTag, boundaryTag, lastAt, bytesTop, bytesBelow = 1, 0, '--------', '--------', 0, 0, 0
end
local topBefore, firstBefore = top, first

local function isKept(offset)
  local m = mark(offset)
  if now - m[1] >= ageMax then return false end
  local count = top - offset + 1
  return count <= 1 or (count <= countMax and bytesTop - m[3] <= bytesMax)
end

-- what is trimmed is the same at the end of a call as after each of its messages, where two reads of the Stream for each took more than half of the time: of a full
-- log 6.9 us a message, and 3.0 so
local isTrimmed = true

local function trim()
  isTrimmed = true
  local kept = firstKept(isKept)
  if kept == first then return end
  boundaryTag = mark(kept - 1)[2]
  bytesBelow = kept > top and bytesTop or mark(kept)[3]
  first = kept
end

-- continuity with what was there before is not certain: a failover or a restart may have lost the end
local function begin()
  if not lineage then
    local after = removed and tonumber(string.sub(removed, 1, 12), 16) + 1 or 0
    epoch, start = string.format('%012x', math.max(now, after)) .. letters, 1
    lineage = epoch .. ':1'
  elseif repl ~= '' and oldRepl ~= repl then
    local after = tonumber(string.sub(epoch, 1, 12), 16) + 1
    epoch, start = string.format('%012x', math.max(now, after)) .. letters, top + 1
    lineage = lineage .. ',' .. epoch .. ':' .. n(start)
    local _, eras = string.gsub(lineage, ':', '')
    for _ = lineageMax + 1, eras do lineage = string.gsub(lineage, '^[^,]+,', '', 1) end
  end
  if repl ~= '' then oldRepl = repl end
end

local keyCount, fresh, freshKeys = nil, {}, {}
local oldest

local function isKeyKept(offset, at)
  return offset >= first or now - at < keyAgeMin
end

-- forgets the oldest keys that need not be kept, a bounded number of them
local function dropKeys()
  for _ = 1, 64 do
    if oldest == nil then oldest = redis.call('LINDEX', ages, 0) end
    if not oldest then return end
    local offset, at, key = string.match(oldest, '^(%d+) (%d+) (.*)$')
    if isKeyKept(tonumber(offset), tonumber(at)) then return end
    redis.call('LPOP', ages)
    oldest = nil
    local value = redis.call('HGET', keys, key)
    if value and string.match(value, '^%d+') == offset then
      redis.call('HDEL', keys, key)
      if not freshKeys[key] then keyCount = keyCount - 1 end
    end
  end
end

-- where their order is lost (evicted, deleted by hand), some of the others, so that the table is not full of them for ever
local function dropStrays()
  if redis.call('LLEN', ages) + #fresh >= keyCount then return end
  for _, key in ipairs(redis.call('HRANDFIELD', keys, 64)) do
    local offset, at = string.match(redis.call('HGET', keys, key), '^(%d+) (%d+)')
    if not isKeyKept(tonumber(offset), tonumber(at)) then
      redis.call('HDEL', keys, key)
      if not freshKeys[key] then keyCount = keyCount - 1 end
    end
  end
end

local function valueOf(key)
  return freshKeys[key] or isOld and redis.call('HGET', keys, key)
end

local function answerFromKey(key, print)
  if not keyCount then
    keyCount = isOld and redis.call('HLEN', keys) or 0
    if not isOld then oldest = false end
  end
  dropKeys()
  local value = valueOf(key)
  if not isTrimmed and (value or keyCount >= keysMax) then
    -- whether it is kept, and whether there is room, may depend on what this call has stored
    trim()
    dropKeys()
    value = valueOf(key)
  end
  if value then
    local offset, at, tag, keyEpoch, keyPrint = string.match(value, '^(%d+) (%d+) (%S+) (%S+) (.*)$')
    if isKeyKept(tonumber(offset), tonumber(at)) then
      if keyPrint ~= print then return 'c' end
      return 'd ' .. offset .. ' ' .. tag .. ' ' .. keyEpoch
    end
  end
  if isOld and keyCount >= keysMax then
    dropStrays()
    value = valueOf(key)
  end
  if keyCount >= keysMax then return 'f' end
  if not value then keyCount = keyCount + 1 end
end

-- an older copy may stand in the place of the log, under the very same epoch: tags alone tell
local function isAstray()
  if not isOld or known <= 0 or knownTag == '--------' then return false end
  if known > top then return true end
  if known < first - 1 then return false end
  local tag = known == top and topTag or known == first - 1 and boundaryTag or mark(known)[2]
  return tag ~= knownTag and tag ~= '--------'
end
local astray = isAstray()

if isOld then trim() end
local answers, at, atText, storedFrom = {}, now, nil, nil
for base = 16, #ARGV, 4 do
  local tag, label, keyed = ARGV[base], ARGV[base + 1], ARGV[base + 3]
  local key, print = string.match(keyed, '^(%S+) (.*)$')
  local answer = key and answerFromKey(key, print)
  if not answer then
    if not storedFrom then
      begin()
      at = math.max(lastAt, now)
      lastAt, atText, storedFrom = at, n(at), top + 1
    end
    top = top + 1
    topTag = tag
    marks[top] = { at, tag, bytesTop, atText .. ' ' .. tag .. ' ' .. n(bytesTop) .. ' ' .. label, base + 2 }
    bytesTop = bytesTop + string.match(label, '^%d+')
    if key then
      freshKeys[key] = n(top) .. ' ' .. atText .. ' ' .. tag .. ' ' .. epoch .. ' ' .. print
      fresh[#fresh + 1] = { key, top, atText }
    end
    isTrimmed = false
    answer = top
  end
  answers[#answers + 1] = answer
end

local missed = {}
if isOld and not astray and known >= 0 and known < topBefore and topBefore - known <= 256 and known + 1 >= firstBefore and string.match(isOld, '([^,:]+):%d+$') == knownEpoch then
  local entries = redis.call('XRANGE', log, n(known + 1), n(topBefore))
  -- where somebody else has deleted one of them the followers look for themselves
  if #entries < topBefore - known then entries = {} end
  for _, entry in ipairs(entries) do
    missed[#missed + 1] = string.match(entry[1], '^%d+')
    missed[#missed + 1] = entry[2][1]
    missed[#missed + 1] = entry[2][2]
  end
end

if storedFrom then
  trim()
  if not isOld then redis.call('DEL', log, meta, keys, ages) end
  for offset = math.max(storedFrom, first), top do
    local m = marks[offset]
    redis.call('XADD', log, n(offset) .. '-0', m[4], ARGV[m[5]])
  end
  for _, key in ipairs(fresh) do
    redis.call('HSET', keys, key[1], freshKeys[key[1]])
    redis.call('RPUSH', ages, n(key[2]) .. ' ' .. key[3] .. ' ' .. key[1])
  end
  if first > firstBefore then
    if first <= top then redis.call('XTRIM', log, 'MINID', '~', n(first), 'LIMIT', 1000)
    else redis.call('UNLINK', log) end
  end
  local m = first <= top and mark(first) or { 0, '--------' }
  redis.call('HSET', meta, 'lineage', lineage, 'repl', oldRepl or '', 'first', n(first), 'top', n(top), 'topTag', topTag, 'boundaryTag', boundaryTag,
    'lastAt', n(lastAt), 'firstAt', n(m[1]), 'firstTag', m[2], 'bytesTop', n(bytesTop), 'bytesBelow', n(bytesBelow))
  -- a channel to which nobody publishes any more ages by itself, a minute late, for clocks differ
  local ttl = ageMax + 60000
  if ttl < 1e14 then redis.call('PEXPIRE', log, n(math.ceil(ttl))) else redis.call('PERSIST', log) end
  ttl = math.max(ageMax, keyAgeMin) + 60000
  if #fresh > 0 then
    for _, key in ipairs({ keys, ages }) do
      if ttl < 1e14 then redis.call('PEXPIRE', key, n(math.ceil(ttl))) else redis.call('PERSIST', key) end
    end
  end
  redis.call(publish, wake, 'w ' .. epoch .. ' ' .. n(top) .. ' ' .. asker)
elseif touch == '1' and isOld then
  redis.call('HSET', meta, 'top', n(top))
end
return { epoch or '', start or 0, n(at), answers, missed, astray and 1 or 0 }
`;

/** ARGV: after, count, bytes, now, ageMax. Answers: nothing if there is no log; else lineage, first, boundaryTag, top, topTag, then offset, head and data of each entry. */
const READ = `#!lua flags=no-writes
${SHARED}
-- one that was master may be behind: nothing is read of it
if string.match(info, 'role:(%a+)') == 'slave' then return redis.error_reply('READONLY This is a replica.') end
now, ageMax = tonumber(ARGV[4]), tonumber(ARGV[5])
load()
if not lineage then return false end
local kept = firstKept(function(offset) return now - mark(offset)[1] < ageMax end)
if kept > first then
  boundaryTag = mark(kept - 1)[2]
  first = kept
end
local after, count, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local from = math.max(after + 1, first)
local reply = { lineage, n(first), boundaryTag, n(top), topTag }
local chunk, taken = 4, 0
-- where somebody else has deleted an entry a page ends, and begins behind it if it has no more than the place of its reader
local function isNews() return taken > 1 or (taken == 1 and after == 0) end
while taken < count and from <= top do
  -- few at first: they may be large
  local entries = redis.call('XRANGE', log, n(from), '+', 'COUNT', math.min(chunk, count - taken))
  for _, entry in ipairs(entries) do
    local id = string.match(entry[1], '^%d+')
    if tonumber(id) ~= from then
      if isNews() then return reply end
      reply, room, taken = { lineage, id, '--------', n(top), topTag }, tonumber(ARGV[3]), 0
      from = tonumber(id)
    end
    local size = tonumber(string.match(entry[2][1], '^%d+ %S+ %d+ (%d+)'))
    room = room - size
    if room < 0 and taken > 0 then return reply end
    local place = #reply
    reply[place + 1], reply[place + 2], reply[place + 3] = id, entry[2][1], entry[2][2]
    taken = taken + 1
    from = from + 1
  end
  if #entries == 0 then
    if isNews() then return reply end
    return { lineage, n(top + 1), topTag, n(top), topTag }
  end
  chunk = math.min(chunk * 2, 256)
end
return reply
`;

/** ARGV: the asker, how to publish and where. Answers 1 if there was a log. Its epoch is kept for a day, so that what follows gets a later one. */
const REMOVE = `#!lua
${SHARED}
load()
if not lineage then return 0 end
redis.call('UNLINK', log, meta, keys, ages)
redis.call('HSET', meta, 'removed', string.match(lineage, '([^,:]+):%d+$'))
redis.call('PEXPIRE', meta, 86400000)
redis.call(ARGV[2], ARGV[3], 'r ' .. ARGV[1])
return 1
`;

export const SCRIPTS = { append: scriptOf(APPEND), read: scriptOf(READ), remove: scriptOf(REMOVE) };

/** Runs a script by its digest; where Redis does not have it (it never had, was restarted, or was told to forget), by its text. Nothing runs twice. */
export async function run(to: Pick<Line, "send">, script: Script, keys: readonly string[], words: readonly Argument[]): Promise<Reply> {
  const rest = [String(keys.length), ...keys, ...words];
  try {
    return await to.send(keys[0]!, ["EVALSHA", script.sha, ...rest]);
  } catch (error) {
    if (!(error as Error).message.startsWith("NOSCRIPT")) throw error;
    return to.send(keys[0]!, ["EVAL", script.text, ...rest]);
  }
}

function scriptOf(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

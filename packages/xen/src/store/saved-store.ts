import type { SavedRings } from './guest-services.ts'
import {
  bytes,
  type Check,
  demand,
  fields,
  flag,
  list,
  oneOf,
  orNull,
  savedPage,
  text,
  tuple,
  whole,
} from '../state-checks.ts'
import { isStorePath, STORE_QUOTA } from './store-client.ts'
import { readStoreHeader, STORE_HEADER_BYTES, STORE_PAYLOAD_MAX } from './store-wire.ts'

const MESSAGE_BYTES = STORE_HEADER_BYTES + STORE_PAYLOAD_MAX
/** Limits for nodes that the host may have written. */
const MOST_NODES = 1 << 20
const MOST_BYTES = 1 << 24
const MOST_NAMES = 2 * STORE_PAYLOAD_MAX
const COUNT = whole(0, Number.MAX_SAFE_INTEGER)
const PATH = text(/^(\/|(\/[-\w@]+)+)$/, STORE_PAYLOAD_MAX)

const permissions = list(fields({ domain: whole(0, 0xffff), read: flag, write: flag }), 0xffff, 1)

const node = fields({
  depth: whole(0, STORE_PAYLOAD_MAX),
  name: text(/^[-\w@]*$/, STORE_PAYLOAD_MAX),
  value: bytes(0, MOST_BYTES),
  permissions,
  generation: COUNT,
})

/** Checks a tree: the root, and each node after its parent. */
const tree: Check<unknown> = (value, path) => {
  const nodes = list(node, MOST_NODES, 1)(value, path)
  let deepest = 0
  for (const [i, { depth, name }] of nodes.entries()) {
    const isBelow = i === 0 ? depth === 0 : depth >= 1 && depth <= deepest && name !== ''
    demand(isBelow, depth, `${path}[${i}].depth`, 'a node below one that comes before')
    deepest = depth + 1
  }
}

const change = { path: PATH, generation: COUNT }
const changes = oneOf<unknown>('kind', {
  creation: fields({ ...change, value: bytes(0, MOST_BYTES), domain: whole(0, 0xffff) }),
  value: fields({ ...change, value: bytes(0, MOST_BYTES) }),
  permissions: fields({ ...change, permissions }),
  removal: fields(change),
})

const transaction = fields({
  id: whole(1, 0xffff_ffff),
  base: orNull(tree),
  seen: list(tuple(PATH, whole(-1, Number.MAX_SAFE_INTEGER)), STORE_QUOTA.transactionNodes + 1),
  changes: list(changes, STORE_QUOTA.transactionNodes),
})

/** A path as a guest may name it in a watch. */
const watched: Check<string> = (value, path) => {
  demand(typeof value === 'string' && isStorePath(value), value, path, 'a path of the store')
  return value as string
}

const services = fields({
  version: whole(2, 2),
  store: fields({ version: whole(2, 2), generation: COUNT, nodes: tree }),
  ring: fields({
    version: whole(2, 2),
    incoming: bytes(0, MESSAGE_BYTES - 1),
    outgoing: list(tuple(text(/^/, MOST_NAMES), bytes(STORE_HEADER_BYTES, MESSAGE_BYTES)), MOST_NODES),
    sent: whole(0, MESSAGE_BYTES - 1),
    answers: COUNT,
    broken: flag,
    client: fields({
      watches: list(tuple(watched, text(/^/, STORE_PAYLOAD_MAX)), STORE_QUOTA.watches),
      transactions: list(transaction, STORE_QUOTA.transactions),
      nextTransaction: whole(0, 0xffff_ffff),
    }),
  }),
  typed: bytes(0, MOST_BYTES),
  storePage: savedPage,
  consolePage: savedPage,
})

/** Checks the store and the console of a saved state. @throws XenError `ERR_STATE` */
export function checkServices(value: unknown, path: string): SavedRings {
  const { ring, ...pages } = services(value, path)
  const { incoming, outgoing, sent, client } = ring
  if (incoming.length >= STORE_HEADER_BYTES) {
    const { length } = readStoreHeader(incoming)
    const isPart = length <= STORE_PAYLOAD_MAX && incoming.length < STORE_HEADER_BYTES + length
    demand(isPart, incoming.length, `${path}.ring.incoming`, 'a part of a message')
  }
  const [first] = outgoing
  demand(sent === 0 || sent < (first?.[1].length ?? 0), sent, `${path}.ring.sent`, 'less than the first message has')
  const keys = new Set(outgoing.map(([key]) => key))
  demand(keys.size === outgoing.length, outgoing.length, `${path}.ring.outgoing`, 'each message once')
  const watches = new Set(client.watches.map((watch) => watch.join('\0')))
  demand(watches.size === client.watches.length, watches.size, `${path}.ring.client.watches`, 'each watch once')
  const ids = new Set(client.transactions.map(({ id }) => id))
  demand(ids.size === client.transactions.length, ids.size, `${path}.ring.client.transactions`, 'each number once')
  return pages
}

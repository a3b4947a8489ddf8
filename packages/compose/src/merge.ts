// Merging of files as trees (Compose Specification, "Merge and override").
import { type Node, sizeOf, type Value } from './tree.ts'

/** Keys whose lists are a short form of a mapping. */
const MAPPINGS = new Set(['depends_on', 'environment', 'labels', 'networks', 'sysctls'])
/** Keys whose single values are a short form of a list. */
const LISTS = new Set(['env_file', 'tmpfs'])
/** Keys that a later file replaces as a whole. */
const REPLACED = new Set(['command', 'entrypoint', 'test'])

/**
 * Merges a value on top of an earlier one. Short forms of mappings become mappings. Lists are appended;
 * readers keep the last of several items with one key.
 *
 * @param depth - number of keys above the values: 2 for services, whose keys have short forms
 * @param key - the last of these keys
 * @returns undefined for a value that `!reset` removes
 */
export function merge(base: Node | undefined, over: Node, depth = 0, key = ''): Node | undefined {
  if (over.tag === '!reset') return undefined
  const [earlier, later] = [base, over].map((node) =>
    depth === 3 && node !== undefined ? longForm(node, key) : node?.value,
  )
  if (later instanceof Map) {
    const isNew = over.tag === '!override' || !(earlier instanceof Map)
    const merged = new Map<string, Node>(isNew ? [] : (earlier as ReadonlyMap<string, Node>))
    for (const [name, one] of later as ReadonlyMap<string, Node>) {
      const value = merge(merged.get(name), one, depth + 1, name)
      if (value === undefined) merged.delete(name)
      else merged.set(name, value)
    }
    return { ...over, value: merged, size: sizeOf(merged) }
  }
  if (base === undefined || over.tag === '!override' || (depth > 2 && REPLACED.has(key)))
    return { ...over, value: later as Value }
  if (later === null && typeof earlier === 'object') return base
  if (!Array.isArray(later) || !Array.isArray(earlier)) return { ...over, value: later as Value }
  return { ...over, value: [...(earlier as Node[]), ...(later as Node[])], size: base.size + over.size }
}

function longForm(node: Node, key: string): Value {
  const { value } = node
  if (key === 'build' && typeof value === 'string') return new Map([['context', node]])
  if (LISTS.has(key) && typeof value === 'string') return [node]
  if (key === 'extra_hosts' && value instanceof Map)
    return [...(value as ReadonlyMap<string, Node>)].flatMap(([name, one]) => {
      const addresses = Array.isArray(one.value) ? (one.value as readonly Node[]) : [one]
      return addresses.map((node) => ({ ...node, value: `${name}=${(node.value as string | null) ?? ''}` }))
    })
  if (!MAPPINGS.has(key) || !Array.isArray(value)) return value
  const started = { ...node, value: new Map([['condition', { ...node, value: 'service_started' }]]) }
  return new Map(
    (value as readonly Node[]).map((item): [string, Node] => {
      const [, name = '', text = null] = PAIR.exec(`${item.value as string}`) ?? []
      return [name, key === 'depends_on' ? started : { ...item, value: text }]
    }),
  )
}

const PAIR = /^([^=]*)(?:=([^]*))?$/

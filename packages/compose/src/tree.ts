// YAML as a tree whose nodes know their places. Aliases share nodes, so that a small file cannot fill the memory.
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Scalar, type ScalarTag } from 'yaml'
import { ComposeError, type ComposeErrorCode, type ComposePlace } from './errors.ts'

/** Most characters of a file. */
export const MOST_CHARACTERS: number = 1 << 20
/** Most nodes of a file, with aliases and merge keys written out. */
const MOST_NODES = 100_000
const MOST_DEPTH = 50
const TOO_DEEP = `more than ${MOST_DEPTH} levels of values`

export type Value = string | number | boolean | null | readonly Node[] | ReadonlyMap<string, Node>

/** A value with its place. */
export interface Node {
  readonly value: Value
  readonly place: ComposePlace
  /** How the value merges with that of an earlier file: Compose Specification, "Merge and override". */
  readonly tag: '!reset' | '!override' | undefined
  /** Number of nodes below and with this one, aliases written out. */
  readonly size: number
  /** Number of levels below this one. */
  readonly depth: number
}

/** Number of nodes of a value, with the value itself. */
export function sizeOf(value: Value): number {
  return childrenOf(value).reduce((sum, child) => sum + child.size, 1)
}

function childrenOf(value: Value): readonly Node[] {
  return value instanceof Map ? [...value.values()] : Array.isArray(value) ? value : []
}

/** Replaces the variables of a text at a place. */
type Interpolate = (text: string, place: ComposePlace) => string

/**
 * Reads a YAML file with one document.
 *
 * @param interpolate - applied to each text that is a value; keys and other scalars are not interpolated
 * @throws ComposeError `ERR_SYNTAX`, `ERR_LIMIT`, and the errors of `interpolate`
 */
export function parseTree(text: string, file: string, interpolate: Interpolate): Node {
  const lines = new LineCounter()
  const placeAt = (offset = 0): ComposePlace => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const fail = (code: ComposeErrorCode, offset: number | undefined, reason: string): never => {
    throw new ComposeError(code, placeAt(offset), '', reason)
  }
  if (text.length > MOST_CHARACTERS) fail('ERR_LIMIT', 0, `the file has more than ${MOST_CHARACTERS} characters`)
  // Repeated keys are found below, because the library compares each key with all others.
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    schema: 'core',
    customTags: (tags) => [OCTAL, ...tags],
    uniqueKeys: false,
    logLevel: 'error',
  })
  const [error] = document.errors
  if (error?.code === 'RESOURCE_EXHAUSTION') fail('ERR_LIMIT', error.pos[0], TOO_DEEP)
  if (error?.code === 'MULTIPLE_DOCS') fail('ERR_SYNTAX', error.pos[0], 'a second document: a file has one')
  if (error !== undefined) fail('ERR_SYNTAX', error.pos[0], error.message)

  const anchors = new Map<string, Node>()
  let copied = 0

  const convert = (node: unknown, near: number): Node => {
    if (isAlias(node)) {
      const reason = `"*${node.source}" has no anchor before it, or is inside of it`
      return anchors.get(node.source) ?? fail('ERR_SYNTAX', node.range?.[0], reason)
    }
    const offset = (node as Scalar | null)?.range?.[0] ?? near
    const place = placeAt(offset)
    let value: Value = null
    if (isScalar(node) && node.tag !== '!reset') {
      // A number that would lose digits, such as a long identifier, stays a text.
      const isLong = Number.isInteger(node.value) && !Number.isSafeInteger(node.value)
      value = isLong ? (node.source ?? '') : (node.value as Value)
      if (typeof value === 'string' && value.includes('$')) value = interpolate(value, place)
    } else if (isSeq(node)) value = node.items.map((item) => convert(item, offset))
    else if (isMap(node)) value = mapOf(node.items, offset)
    const size = sizeOf(value)
    const depth = childrenOf(value).reduce((most, child) => Math.max(most, child.depth), 0) + 1
    if (size > MOST_NODES) fail('ERR_LIMIT', offset, `more than ${MOST_NODES} values, with aliases written out`)
    if (depth > MOST_DEPTH) fail('ERR_LIMIT', offset, TOO_DEEP)
    const { tag: given, anchor } = (node ?? {}) as Scalar
    const tag = given === '!reset' || given === '!override' ? given : undefined
    const converted: Node = { value, place, tag, size, depth }
    if (anchor !== undefined) anchors.set(anchor, converted)
    return converted
  }

  const mapOf = (pairs: readonly { readonly key: unknown; readonly value: unknown }[], near: number) => {
    const own = new Map<string, Node>()
    const merged = new Map<string, Node>()
    for (const { key, value } of pairs) {
      if (!isScalar(key)) fail('ERR_SYNTAX', (key as Scalar | null)?.range?.[0] ?? near, 'a key is a word')
      const name = String((key as Scalar).value)
      const offset = (key as Scalar).range?.[0] ?? near
      const node = convert(value, offset)
      if (name === '<<') {
        for (const source of Array.isArray(node.value) ? (node.value as readonly Node[]) : [node]) {
          if (!(source.value instanceof Map)) fail('ERR_SYNTAX', offset, '"<<" takes a mapping, or a list of mappings')
          const entries = source.value as ReadonlyMap<string, Node>
          copied += entries.size
          if (copied > MOST_NODES) fail('ERR_LIMIT', offset, `more than ${MOST_NODES} values by merge keys`)
          for (const [inner, one] of entries) if (!merged.has(inner)) merged.set(inner, one)
        }
      } else if (own.has(name)) fail('ERR_SYNTAX', offset, `the key "${name}" is there twice`)
      // The place of a value is that of its key, where it is used: an alias would point to its anchor.
      else own.set(name, { ...node, place: placeAt(offset) })
    }
    return new Map([...merged, ...own])
  }
  return convert(document.contents, 0)
}

/** Octal numbers as Go's YAML library has them: `0644`. */
const OCTAL: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0[0-7]+$/,
  resolve: (text) => Number.parseInt(text, 8),
}

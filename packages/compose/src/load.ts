// The files of a project as one tree: main files, overrides, included and extended files.
import { ComposeError, type ComposePlace } from './errors.ts'
import type { ComposeNotice } from './model.ts'
import { MOST_CHARACTERS, type Node, parseTree, sizeOf, type Value } from './tree.ts'
import { fields, joined, type Reading, Spot, text, texts } from './values.ts'

/** Most characters of all files and of all values of variables together. */
const MOST_IN_ALL = 8 * MOST_CHARACTERS
/** Most values of all files together, and of services that extend others. */
const MOST_VALUES = 1_000_000
/** Most files, each counted as often as it is included. */
const MOST_FILES = 1000
/** Longest chain of files that include, or services that extend each other. */
const MOST_CHAIN = 30

/** Returns the text of a file; undefined if there is none at the path. */
export type ComposeReader = (path: string) => Promise<string | undefined>

/** Reads files, and collects places, notices and folders for the readers of values. */
export class Loader implements Reading {
  project = ''
  readonly folders: Map<string, string> = new Map()
  readonly variables: Map<string, string> = new Map()
  readonly places: Map<string, ComposePlace> = new Map()
  readonly notices: ComposeNotice[] = []
  readonly #reader: ComposeReader
  readonly #trees = new Map<string, Node>()
  readonly #told = new Set<string>()
  #files = 0
  #characters = 0
  #values = 0

  constructor(reader: ComposeReader) {
    this.#reader = reader
  }

  /** Reads an environment file. @returns undefined if there is none */
  async environment(file: string, known: ReadonlyMap<string, string>): Promise<Map<string, string> | undefined> {
    const source = await this.#read(file)
    if (source === undefined) return undefined
    const place = { ...placeOf(file) }
    const values = new Map<string, string>()
    const variables = this.#variables((name) => known.get(name) ?? values.get(name), place)
    parseEnvironment(source, variables, values, (line) => (place.line = line))
    return values
  }

  /**
   * Reads and merges files.
   *
   * @param folder - folder that the paths in the files are relative to
   * @param chain - the files that include these files
   */
  async load(files: readonly string[], folder: string, chain: readonly string[] = []): Promise<Node> {
    let project: Node | undefined
    for (const file of files) {
      const root = await this.#tree(file, folder)
      const spot = new Spot(root, '', this)
      checkChain(spot, chain, file)
      if (++this.#files > MOST_FILES) spot.fail(`more than ${MOST_FILES} files`, 'ERR_LIMIT')
      const top = new Map(spot.entries().map(([key, { node }]) => [key, node]))
      const services = new Map<string, Node>()
      for (const [name, one] of childOf(spot, 'services')?.entries() ?? []) {
        if (!/^[\w.-]+$/.test(name)) one.fail('a name of a service has letters, digits, ".", "_" and "-"')
        services.set(name, await this.#extended(one, file, []))
      }
      top.set('services', { ...(top.get('services') ?? root), value: services })
      let own: Node = { ...root, value: top }
      for (const one of childOf(spot, 'include')?.items() ?? []) {
        const from = one.isMap ? fields(one, INCLUDE, 'env_file') : { path: texts(one) }
        const included = from.path?.map((each) => joined(folderOf(file), each)) ?? one.fail('its path is missing')
        const inside = joined(folderOf(file), from.projectDirectory ?? folderOf(from.path?.[0] ?? ''))
        const other = await this.load(included, inside, [...chain, file])
        for (const [name] of childOf(new Spot(other, '', this), 'services')?.entries() ?? [])
          if (services.has(name)) one.fail(`the service ${name} is in both files`)
        own = this.#merged(other, own, 0)
      }
      project = this.#merged(project, own, 0)
    }
    return project ?? failIn(folder, 'ERR_FILE', 'there are no files')
  }

  /** Puts a service on top of the service that it extends. */
  async #extended(spot: Spot, file: string, chain: readonly string[]): Promise<Node> {
    const base = childOf(spot, 'extends')
    if (base === undefined || base.node.value === null) return spot.node
    const given = base.isMap ? fields(base, { service: text, file: text }) : { service: text(base) }
    const other = 'file' in given ? joined(folderOf(file), given.file ?? '') : file
    const link = `${given.service ?? base.fail('the name of the service is missing')} of ${other}`
    checkChain(base, chain, link)
    const services = childOf(new Spot(await this.#tree(other, folderOf(other)), '', this), 'services')
    const found = services && childOf(services, given.service ?? '')
    const below = found ?? base.fail(`there is no service ${link}`, 'ERR_UNKNOWN')
    return this.#merged(await this.#extended(below, other, [...chain, link]), spot.node, 2)
  }

  #merged(base: Node | undefined, over: Node, depth: number): Node {
    const merged = merge(base, over, depth) ?? over
    this.#values += merged.size
    return this.#values > MOST_VALUES ? failIn(over.place.file, 'ERR_LIMIT', `more than ${MOST_VALUES} values`) : merged
  }

  /** Reads a YAML file. @param folder - folder of its paths, unless the file is known */
  async #tree(file: string, folder: string): Promise<Node> {
    const known = this.#trees.get(file)
    if (known !== undefined) return known
    this.folders.set(file, folder)
    const source = (await this.#read(file)) ?? failIn(file, 'ERR_FILE', 'there is no such file')
    const { variables } = this
    const lookup: Variables['lookup'] = (name) => variables.get(name)
    const tree = parseTree(source, file, (given, place) => interpolate(given, this.#variables(lookup, place)))
    this.#trees.set(file, tree)
    return tree
  }

  async #read(file: string): Promise<string | undefined> {
    return this.#counted(file, await this.#reader(file))
  }

  #counted(file: string, made: string | undefined): string | undefined {
    this.#characters += made?.length ?? 0
    if (this.#characters > MOST_IN_ALL) failIn(file, 'ERR_LIMIT', `more than ${MOST_IN_ALL} characters in all`)
    return made
  }

  note(place: ComposePlace, key: string, reason: string): void {
    const line = [`${place.file}:${place.line}`, key, reason].filter(Boolean).join(': ')
    const kind = key === '' ? 'variable' : 'key'
    if (!this.#told.has(line)) this.notices.push({ kind, place, key, text: line })
    this.#told.add(line)
  }

  #variables(lookup: Variables['lookup'], place: ComposePlace): Variables {
    return {
      lookup: (name) => this.#counted(place.file, lookup(name)),
      unset: (name) => this.note({ ...place }, '', `the variable ${name} is not set: it is empty`),
      fail(reason) {
        throw new ComposeError('ERR_VARIABLE', place, '', reason)
      },
    }
  }
}

const INCLUDE = { path: texts, project_directory: text }

const childOf = (spot: Spot, key: string): Spot | undefined => new Map(spot.entries()).get(key)

function checkChain(spot: Spot, chain: readonly string[], next: string): void {
  if (chain.includes(next)) spot.fail(`a cycle: ${[...chain, next].join(', ')}`, 'ERR_CYCLE')
  if (chain.length >= MOST_CHAIN) spot.fail(`more than ${MOST_CHAIN} of them lead to each other`, 'ERR_LIMIT')
}

const placeOf = (file: string): ComposePlace => ({ file, line: 1, column: 1 })

/** Throws an error about a whole file. */
export function failIn(file: string, code: ComposeError['code'], reason: string): never {
  throw new ComposeError(code, placeOf(file), '', reason)
}

/** The folder of a file. */
export function folderOf(file: string): string {
  const end = file.lastIndexOf('/')
  return end < 0 ? '.' : file.slice(0, end) || '/'
}

/** Keys whose lists are a short form of a mapping. */
const MAPPINGS = new Set(['depends_on', 'environment', 'labels', 'networks', 'sysctls'])
/** Keys whose single values are a short form of a list. */
const LISTS = new Set(['env_file', 'tmpfs'])
/** Keys that a later file replaces as a whole. */
const REPLACED = new Set(['command', 'entrypoint', 'test'])

/**
 * Merges a value on top of an earlier one. Short forms of mappings become mappings. Lists are appended;
 * readers keep the last of several items with one key. Source: Compose Specification, "Merge and override".
 *
 * @param depth - number of keys above the values: 2 for services, whose keys have short forms
 * @param key - the last of these keys
 * @returns undefined for a value that `!reset` removes
 */
function merge(base: Node | undefined, over: Node, depth = 0, key = ''): Node | undefined {
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

// Variables in texts, and environment files: Compose Specification, "Interpolation", and "env_file", "Env_file format".

/** Nested defaults are read this deep. */
const MOST_DEPTH = 20
const NAME = /[A-Za-z_]\w*/y
const OPERATOR = /:?[-?+]/y

/** Values of variables, and the calls for missing ones. */
interface Variables {
  lookup(name: string): string | undefined
  /** Called for a variable without a value and without a default. */
  unset(name: string): void
  fail(reason: string): never
}

/** Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and the other forms; `$$` stands for one `$`. */
function interpolate(text: string, variables: Variables): string {
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  /** Reads up to the end of the text or of the braces. An alternative that is not chosen is read, and tells nothing. */
  const expand = (depth: number, isChosen: boolean): string => {
    if (depth > MOST_DEPTH) variables.fail(`more than ${MOST_DEPTH} variables inside of each other`)
    let out = ''
    while (at < text.length && !(depth > 0 && text[at] === '}')) {
      if (text[at] !== '$') out += text[at++]
      else if (text[++at] === '$') out += text[at++]
      else out += variable(depth, isChosen)
    }
    return out
  }
  const variable = (depth: number, isChosen: boolean): string => {
    const isBraced = text[at] === '{'
    if (isBraced) at++
    const name = take(NAME)
    if (name === undefined) return variables.fail('"$" without a name of a variable: write "$$" for a plain "$"')
    const operator = isBraced ? take(OPERATOR) : undefined
    const value = variables.lookup(name)
    const has = operator?.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
    const kind = operator?.at(-1)
    const isUsed = isChosen && kind !== undefined && has === (kind === '+')
    const alternative = kind === undefined ? '' : expand(depth + 1, isUsed)
    if (isBraced && text[at++] !== '}') variables.fail(`"\${${name}" has no "}" where it is expected`)
    if (kind === '?' && isUsed) variables.fail(`the variable ${name} is not set: ${alternative || 'it is required'}`)
    if (kind === undefined && value === undefined && isChosen) variables.unset(name)
    return isUsed ? alternative : kind === '+' ? '' : (value ?? '')
  }
  return expand(0, true)
}

const BLANK = /(?:\s|#[^\n]*(?:\n|$))*/y
const KEY = /(?:export[ \t]+)?([\w.-]+)[ \t]*(?:([=:])[ \t]*|(?=\n|#|$))/y
const QUOTED = /(?:'((?:[^'\\]|\\[^])*)'|"((?:[^"\\]|\\[^])*)")[ \t]*(?:#[^\n]*)?(?=\n|$)/y
const PLAIN = /[^\n]*/y
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

/**
 * Reads an environment file. Values may have variables, but not within single quotes.
 *
 * @param values - gets names and values in the order of the file; a name without `=` has the value that `variables` know
 * @param at - is called with the line of each statement, from 1, before anything is looked up or told
 */
function parseEnvironment(
  source: string,
  variables: Variables,
  values: Map<string, string>,
  at: (line: number) => void,
): void {
  const text = source.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')
  let [offset, line, counted] = [0, 1, 0]
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = offset
    const found = pattern.exec(text)
    offset += found?.[0].length ?? 0
    return found
  }
  for (take(BLANK); offset < text.length; take(BLANK)) {
    while (counted < offset) if (text[counted++] === '\n') line++
    at(line)
    const [, name = '', separator] = take(KEY) ?? variables.fail('expected NAME=VALUE')
    if (separator === undefined) {
      const inherited = variables.lookup(name)
      if (inherited !== undefined) values.set(name, inherited)
    } else if (text[offset] === "'" || text[offset] === '"') {
      const [, single, double = ''] =
        take(QUOTED) ?? variables.fail(`the value of ${name} has no closing quote at its end`)
      const escaped = (_: string, character: string): string => ESCAPES[character] ?? character
      // An escaped "$" is doubled, so that interpolation leaves it.
      const unescaped = double.replace(/\\([^])/g, (all, one: string) => (one === '$' ? '$$' : escaped(all, one)))
      values.set(name, single?.replaceAll("\\'", "'") ?? interpolate(unescaped, variables))
    } else {
      const plain = (take(PLAIN)?.[0] ?? '').replace(/(?:^|\s)#.*$/, '').trimEnd()
      values.set(name, interpolate(plain, variables))
    }
  }
}

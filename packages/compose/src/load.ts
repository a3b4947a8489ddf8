// The files of a project as one tree: main files, overrides, included and extended files.
import { ComposeError, type ComposePlace } from './errors.ts'
import { interpolate, parseEnvironment, type Variables } from './interpolate.ts'
import { merge } from './merge.ts'
import type { ComposeNotice } from './model.ts'
import { MOST_CHARACTERS, type Node, parseTree } from './tree.ts'
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

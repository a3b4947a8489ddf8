import { splitPairs } from './values.ts'

/**
 * A list of QEMU's, `kind,key=value,…` or an object of JSON, with its keys in any order: a key alone is on, with `no` before it
 * off, and keys may come again. Notes the keys that were read.
 */
export class Pairs {
  readonly all: (readonly [key: string, value: string])[]
  /** The first word stands alone, as a kind does. */
  readonly #isKind: boolean
  readonly #read = new Set<string>()
  readonly #dropped: string[] = []

  /** @param kind - the key whose value may come first, without the key */
  constructor(text: string, kind = 'driver') {
    const pairs = text.startsWith('{') ? [...flatten(JSON.parse(text))] : pairsOf(text, kind)
    const at = pairs.findLastIndex(([key]) => key === kind)
    this.#isKind = at >= 0
    this.all = [...(at < 0 ? [] : [[pairs[at]![1], 'on'] as const]), ...pairs.filter((_, i) => i !== at)]
  }

  /** The pairs, which does not count as reading them. @param kind - the key for the kind; default: without it */
  pairs(kind?: string): readonly (readonly [key: string, value: string])[] {
    if (!this.#isKind) return this.all
    return [...(kind === undefined ? [] : [[kind, this.all[0]![0]] as const]), ...this.all.slice(1)]
  }

  /** The first word, if it is not a key with a value. */
  get kind(): string {
    const [[first] = ['']] = this.all
    if (!this.#isKind) return ''
    this.#read.add(first)
    return first
  }

  get(key: string): string | undefined {
    this.#read.add(key)
    return this.peek(key)
  }

  /** Returns a value, without marking its key as read. */
  peek(key: string): string | undefined {
    return this.pairs().find(([name]) => name === key)?.[1]
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  set(key: string, value: string, isRead = true): void {
    if (isRead) this.#read.add(key)
    const at = this.all.findIndex(([name]) => name === key)
    this.all.splice(at < 0 ? this.all.length : at, at < 0 ? 0 : 1, [key, value])
  }

  rename(from: string, to: string): void {
    const value = this.get(from)
    if (value === undefined) return
    this.take(new RegExp(`^${from}$`))
    this.set(to, value)
  }

  /** Removes keys that have no meaning here. */
  without(keys: RegExp): this {
    this.#dropped.push(...this.take(keys).map(wordOf))
    return this
  }

  /** Removes and returns keys that are translated in another way. */
  take(keys: RegExp): readonly (readonly [key: string, value: string])[] {
    const taken = this.all.filter(([key], i) => keys.test(key) && !(i === 0 && this.#isKind))
    for (const pair of taken) this.all.splice(this.all.indexOf(pair), 1)
    return taken
  }

  /** The text; the kind, which has no value, is the first word. */
  get text(): string {
    for (const [key] of this.all) this.#read.add(key)
    const words = this.all.map(([key, value], i) => (i === 0 && this.#isKind ? key : `${key}=${value}`))
    return words.map((word) => word.replaceAll(',', ',,')).join(',')
  }

  /** The words that were not read. */
  get unread(): readonly string[] {
    const kind = this.#isKind && !this.#read.has(this.all[0]![0]) ? [this.all[0]![0]] : []
    const others = this.pairs().filter(([key]) => !this.#read.has(key))
    return [...kind, ...this.#dropped, ...others.map(wordOf)]
  }
}

/** The words of a list, of which the first may be the value of `kind` alone. */
export const pairsOf = (text: string, kind: string): readonly (readonly [key: string, value: string])[] =>
  splitPairs(text)
    .filter((word) => word !== '')
    .map((word, i) => {
      const at = word.indexOf('=')
      if (at >= 0) return [word.slice(0, at), word.slice(at + 1)]
      if (i === 0) return [kind, word]
      return /^no[a-z]/.test(word) ? [word.slice(2), 'off'] : [word, 'on']
    })

const wordOf = ([key, value]: readonly [string, string]): string => `${key}=${value}`

/** An object's values by their paths: `file.driver`. Switches are on and off. */
function* flatten(value: unknown, path = ''): Generator<readonly [string, string]> {
  if (typeof value === 'object' && value !== null)
    for (const [key, part] of Object.entries(value)) yield* flatten(part, path === '' ? key : `${path}.${key}`)
  else yield [path, typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)]
}
